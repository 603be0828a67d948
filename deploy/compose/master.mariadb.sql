-- WMB's users, with the privileges that docs/mysql.md lists for MariaDB. Made by the master's server at its first start; replication brings them to the slaves.
-- For trying out only: anywhere else, other passwords.
CREATE USER 'wmb'@'%' IDENTIFIED BY 'for-trying-out-only';
GRANT SELECT, INSERT, UPDATE, DELETE, TRIGGER ON `messages`.* TO 'wmb'@'%';
GRANT SLAVE MONITOR ON *.* TO 'wmb'@'%';
CREATE USER 'wmb_replica'@'%' IDENTIFIED BY 'for-trying-out-only';
GRANT REPLICATION SLAVE ON *.* TO 'wmb_replica'@'%';
