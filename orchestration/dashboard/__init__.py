"""What a tenant's dashboard shows: named queries, each answered from the smallest relation that has its answer."""
