"""The SMPP side: sessions without I/O, and the sockets, doors and timers around them."""
