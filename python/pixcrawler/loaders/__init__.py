"""A dataset in the form that each framework takes: one module a framework, imported only when it is used."""
