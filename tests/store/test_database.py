def test_a_fresh_store_has_the_newest_schema(store):
    from qfund.store import database, schema
    assert database.revision(store) == schema.HEAD
    assert database.migrate(store) == (schema.HEAD, schema.HEAD)

def test_again(store):
    with store.dbapi() as c, c.cursor() as cur:
        cur.execute("select count(*) from sec.vendor")
        assert cur.fetchone()[0] == 0
