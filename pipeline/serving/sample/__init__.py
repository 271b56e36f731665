"""A sample of the rows that a model scores, as it reads them; faces: ``live`` for servers, ``files`` for readers."""
