"""One edit: where, what is spared, paint, verify. It knows no plan, batch or facade."""
