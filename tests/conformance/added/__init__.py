"""What CONTRIBUTING.md adds as examples, one file each: a test adds every one of them to a copy of the project."""
