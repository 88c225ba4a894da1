"""A federated model beside others on the same users: n-gram, central, each phone alone."""
