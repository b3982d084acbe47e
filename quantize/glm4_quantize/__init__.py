"""Weight compression: what is compressed how, for which device, and why."""
