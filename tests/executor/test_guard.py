"""What tenant SQL may and may not do."""

import pytest

from services.executor.steps.guard import check_select
from services.executor.steps.step import StepError

MINE = ("acme", "acme_raw")

ORDINARY = [
    "SELECT 1",
    "SELECT a, SUM(b) FROM acme.t GROUP BY a ORDER BY 2 DESC LIMIT 10",
    "WITH x AS (SELECT * FROM acme.t) SELECT * FROM x JOIN acme_raw.u USING (id)",
    "SELECT * FROM `p`.acme.t",
    "SELECT * FROM `p.acme.t`",
    "SELECT a FROM acme.t UNION ALL SELECT a FROM acme_raw.t",
    "SELECT *, ROW_NUMBER() OVER (PARTITION BY a ORDER BY b) FROM t QUALIFY TRUE",
    "SELECT x FROM UNNEST([1, 2, 3]) AS x",
    "SELECT SAFE_DIVIDE(a, b), DATE_TRUNC(d, MONTH), JSON_VALUE(j, '$.a') FROM acme.t",
    "SELECT 'DROP TABLE acme.t; SELECT' AS text -- DELETE FROM acme.t",
]

ATTACKS = [
    "SELECT * FROM other.t",
    "SELECT * FROM `q`.acme.t",
    "SELECT * FROM `q.acme.t`",
    "SELECT * FROM acme2.t",
    "SELECT (SELECT MAX(a) FROM other.t)",
    "SELECT * FROM acme.t WHERE EXISTS (SELECT 1 FROM other.t)",
    "WITH other AS (SELECT 1) SELECT * FROM other.t",
    "SELECT 1; SELECT 2",
    "DROP TABLE acme.t",
    "DELETE FROM acme.t WHERE TRUE",
    "INSERT INTO acme.t SELECT 1",
    "CREATE TABLE acme.x AS SELECT 1",
    "MERGE acme.t USING acme.u ON FALSE WHEN NOT MATCHED THEN INSERT ROW",
    "EXPORT DATA OPTIONS(uri='gs://x/*') AS SELECT 1",
    "CALL acme.p()",
    "BEGIN SELECT 1; END",
    "DECLARE x INT64; SELECT x",
    "EXECUTE IMMEDIATE 'SELECT 1'",
    "SELECT * FROM EXTERNAL_QUERY('c', 'SELECT 1')",
    "SELECT * FROM acme.INFORMATION_SCHEMA.TABLES",
    "SELECT * FROM INFORMATION_SCHEMA.SCHEMATA",
    "SELECT * FROM `region-us`.INFORMATION_SCHEMA.JOBS",
    "SELECT * FROM `acme.t*`",
    "SELECT * FROM ML.PREDICT(MODEL acme.m, TABLE acme.t)",
    "GRANT `roles/x` ON SCHEMA acme TO 'user:x'",
    "SELECT FROM WHERE",
    "",
]


@pytest.mark.parametrize("sql", ORDINARY)
def test_an_ordinary_query_passes(sql: str) -> None:
    check_select(sql, "p", MINE)


@pytest.mark.parametrize("sql", ATTACKS)
def test_an_attack_is_refused(sql: str) -> None:
    with pytest.raises(StepError) as caught:
        check_select(sql, "p", MINE)
    assert caught.value.code == "sql_not_allowed"
