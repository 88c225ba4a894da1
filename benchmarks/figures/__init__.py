"""The figures of README and the documents, held against the result files that they come from.

`sources` reads the files, `tables` makes whole tables of them, `claims.toml` ties the numbers of
sentences to their values, `exceptions.toml` says of other numbers why no result file has them,
`pictures` looks at the plot, and `check` says what differs. See CONTRIBUTING.
"""
