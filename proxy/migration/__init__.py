"""Migration: what is stored already is sealed, checked, sealed anew, or taken out again."""
