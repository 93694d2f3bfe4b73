"""The proofs, one module for each kind of fault."""
