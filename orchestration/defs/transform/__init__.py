"""dbt: the models of each cell as assets, their tests as checks, and the documentation."""
