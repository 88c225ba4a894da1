"""How a cohort's updates become one: TFF aggregation factories."""
