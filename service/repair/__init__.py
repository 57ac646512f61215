"""What a trainer does when learning itself goes wrong: the device fails, memory runs out, the parameters break."""
