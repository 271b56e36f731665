"""The examples of CONTRIBUTING.md, one file each: a test adds every one of them to a copy of the project."""
