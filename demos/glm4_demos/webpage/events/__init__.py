"""What the page does on each event, by subject. Every handler returns values by the names of components."""
