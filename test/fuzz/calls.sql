-- calls.sql
--		A thousand calls of functions of the extension, each a transaction of its own, with values drawn at
--		random: after sqlsmith.sql, by psql, which goes on after errors.  The variable seed repeats it.
SELECT setseed(:seed);
SELECT statement FROM smith.calls ORDER BY random() \gexec
