"""The sample shop: products, orders and users, each a service of its own with a database of its own."""
