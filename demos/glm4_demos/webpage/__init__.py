"""The parts of the web page: its words in two languages, its layout, what its events do, and its figures."""
