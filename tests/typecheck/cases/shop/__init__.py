from shop.steps import count as count
from shop.steps import orders as orders
