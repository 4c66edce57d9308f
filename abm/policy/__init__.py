"""Export controls and alliance instruments, one small file each."""
