"""One file for each kind of finding that is legal and probably not meant (LANGUAGE.md section 7)."""
