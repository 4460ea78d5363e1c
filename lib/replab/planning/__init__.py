"""Which runs a command asks for, what they will take, and where they are done."""
