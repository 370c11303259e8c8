from shop.steps import count as count, orders as orders
