-- migrate:up

-- `credentials` has the credential that a node's parameters name, as a replay would write it now.
UPDATE nodes
   SET credentials = credentials || jsonb_build_object('credential', parameters -> 'credential')
 WHERE jsonb_typeof(parameters -> 'credential') = 'string';

-- migrate:down

UPDATE nodes
   SET credentials = credentials - 'credential'
 WHERE jsonb_typeof(parameters -> 'credential') = 'string';
