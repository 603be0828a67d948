-- The tables of the messages example. WMB runs this file at every start, in the master room and in the slave rooms alike.
CREATE TABLE IF NOT EXISTS messages (
  -- The request id of the write request: replaying it finds its own row again.
  id VARCHAR(128) NOT NULL,
  sender BIGINT NOT NULL,
  recipient BIGINT NOT NULL,
  -- Seconds since 1970, as the application said.
  sent_at BIGINT NOT NULL,
  -- Set by WMB: the stamp of the write request that wrote the row. An older write request does not overwrite a newer one's row.
  wmb_stamp CHAR(24) NOT NULL,
  PRIMARY KEY (id)
);
