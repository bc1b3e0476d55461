-- The operator of the benchmarks: many grants, the last of which covers everything there is.
CREATE ROLE ops;
INSERT INTO acteon_grants (grantee, role, tenants, namespaces, providers, actions)
SELECT 'ops', 'operator', ARRAY['somebody-' || i], '{prod}', '{slack}', '{*}' FROM generate_series(1, 5) AS i;
INSERT INTO acteon_grants (grantee, role, tenants, namespaces, providers, actions)
SELECT 'ops', 'operator', array_agg('tenant-' || i), '{prod,staging}', '{email,slack,webhook,sms}', '{*}' FROM generate_series(1, 240, 40) AS i;
INSERT INTO acteon_grants (grantee, role, tenants, namespaces, providers, actions)
VALUES ('ops', 'admin', '{*}', '{prod,staging}', '{*}', '{*}');
