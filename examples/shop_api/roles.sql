-- Once, as somebody who may create roles and databases. None of the three is a superuser.
CREATE ROLE shop_owner LOGIN PASSWORD 'owner';
CREATE ROLE shop_api LOGIN PASSWORD 'api';
CREATE ROLE shop_worker LOGIN PASSWORD 'worker';
CREATE DATABASE shop OWNER shop_owner;
