"""What people try first: the terminal chat, the demo, and the nano model that ships with them."""
