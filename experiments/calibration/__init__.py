"""What the calibration of behaviour on history is made of."""
