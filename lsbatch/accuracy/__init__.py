"""How good an inventory is: a sample that a person answers (`draw`, `page`), and what follows from the answers (`assess`)."""
