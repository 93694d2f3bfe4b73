"""What the text of a SUBMIT_SM says it is (seed 002)."""
