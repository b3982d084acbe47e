"""What the operating system tells of this machine: cores, memory, processor, containers, folders."""
