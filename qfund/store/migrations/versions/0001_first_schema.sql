-- qfund's first schema: one database, two schemas, and the seed's table names as views.
-- Plain PostgreSQL 14 or newer, no extension.

CREATE SCHEMA sec;                       -- securities master and market data
CREATE SCHEMA IF NOT EXISTS ops;         -- ingest, coverage, strategies, runs

-- ------------------------------------------------------------ who, where, what

CREATE TABLE sec.vendor (
  vendor_id    smallint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
  name         text NOT NULL UNIQUE,
  website_url  text,
  terms        text,
  may_redistribute boolean NOT NULL DEFAULT false,
  created_at   timestamptz NOT NULL DEFAULT now(),
  updated_at   timestamptz NOT NULL DEFAULT now());

CREATE TABLE sec.venue (
  mic          text PRIMARY KEY CHECK (mic ~ '^[A-Z0-9]{4}$'),
  abbrev       text NOT NULL,
  name         text NOT NULL,
  currency     text NOT NULL,
  timezone     text NOT NULL,
  calendar     text NOT NULL,            -- exchange_calendars name
  created_at   timestamptz NOT NULL DEFAULT now(),
  updated_at   timestamptz NOT NULL DEFAULT now());

INSERT INTO sec.venue (mic, abbrev, name, currency, timezone, calendar) VALUES
  ('XNYS', 'NYSE', 'New York Stock Exchange', 'USD', 'America/New_York', 'XNYS'),
  ('XNAS', 'NASDAQ', 'Nasdaq', 'USD', 'America/New_York', 'XNYS'),
  ('XASE', 'AMEX', 'NYSE American', 'USD', 'America/New_York', 'XNYS'),
  ('ARCX', 'ARCA', 'NYSE Arca', 'USD', 'America/New_York', 'XNYS'),
  ('BATS', 'CBOE', 'Cboe BZX', 'USD', 'America/New_York', 'XNYS');

CREATE TABLE sec.instrument (
  instrument_id integer GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
  kind         text NOT NULL CHECK (kind IN ('equity','etf','fx','crypto','index','future','option','rate')),
  name         text NOT NULL,
  sector       text,
  currency     text NOT NULL,
  mic          text REFERENCES sec.venue,
  listed_on    date,
  delisted_on  date,
  delist_reason text,
  successor_id integer REFERENCES sec.instrument,
  figi         text UNIQUE,
  isin         text,
  cik          integer,
  created_at   timestamptz NOT NULL DEFAULT now(),
  updated_at   timestamptz NOT NULL DEFAULT now(),
  CHECK (delisted_on IS NULL OR listed_on IS NULL OR delisted_on >= listed_on));

CREATE TYPE sec.textrange AS RANGE (subtype = text, collation = "C");

-- A symbol is a dated, per-vendor label, never an identity. Equality inside EXCLUDE is written as the overlap of
-- one-point ranges, since btree_gist is an extension.
CREATE TABLE sec.instrument_symbol (
  instrument_id integer NOT NULL REFERENCES sec.instrument,
  vendor_id    smallint NOT NULL REFERENCES sec.vendor,
  symbol       text NOT NULL,
  vendor_ref   text,
  valid        daterange NOT NULL CHECK (NOT isempty(valid)),
  CONSTRAINT symbol_names_one_instrument EXCLUDE USING gist (
    sec.textrange(vendor_id || ':' || symbol, vendor_id || ':' || symbol, '[]') WITH &&, valid WITH &&),
  CONSTRAINT instrument_has_one_symbol EXCLUDE USING gist (
    int4range(vendor_id::int, vendor_id::int, '[]') WITH &&,
    int4range(instrument_id, instrument_id, '[]') WITH &&, valid WITH &&));
CREATE INDEX instrument_symbol_by_symbol ON sec.instrument_symbol (symbol);

-- A row only when something changed.
CREATE TABLE sec.instrument_status (
  instrument_id integer NOT NULL REFERENCES sec.instrument,
  vendor_id    smallint NOT NULL REFERENCES sec.vendor,
  seen_at      timestamptz NOT NULL DEFAULT now(),
  status       text,
  tradable     boolean,
  marginable   boolean,
  shortable    boolean,
  borrow_status text,
  fractionable boolean,
  PRIMARY KEY (instrument_id, vendor_id, seen_at));

-- What a series of bars is: two feeds, mid and bid, raw and adjusted never share a key.
CREATE TABLE sec.source (
  source_id    smallint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
  vendor_id    smallint NOT NULL REFERENCES sec.vendor,
  feed         text NOT NULL DEFAULT '',
  basis        text NOT NULL DEFAULT 'raw' CHECK (basis IN ('raw','split','all')),
  price_kind   text NOT NULL DEFAULT 'trade' CHECK (price_kind IN ('trade','mid','bid','ask')),
  hours        text NOT NULL DEFAULT 'regular' CHECK (hours IN ('regular','extended','always')),
  UNIQUE (vendor_id, feed, basis, price_kind, hours));

-- ------------------------------------------------------------ ingest

CREATE TABLE ops.ingest_run (
  ingest_run_id integer GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
  vendor_id    smallint NOT NULL REFERENCES sec.vendor,
  dataset      text NOT NULL,
  params       jsonb NOT NULL DEFAULT '{}',
  code_version text NOT NULL,
  host         text NOT NULL,
  started_at   timestamptz NOT NULL DEFAULT now(),
  finished_at  timestamptz,
  status       text NOT NULL DEFAULT 'running' CHECK (status IN ('running','ok','partial','failed','abandoned')),
  counters     jsonb NOT NULL DEFAULT '{}',
  error        text);
CREATE INDEX ingest_run_recent ON ops.ingest_run (started_at DESC);

-- What has been asked for and is final: a gap is calendar minus coverage, not minus rows.
CREATE TABLE ops.coverage (
  source_id    smallint NOT NULL REFERENCES sec.source,
  timeframe    text NOT NULL CHECK (timeframe IN ('1d','1m')),
  instrument_id integer NOT NULL REFERENCES sec.instrument,
  sessions     datemultirange NOT NULL DEFAULT '{}',
  updated_at   timestamptz NOT NULL DEFAULT now(),
  PRIMARY KEY (instrument_id, source_id, timeframe));

-- ------------------------------------------------------------ bars

CREATE TABLE sec.bar_1d (
  open         double precision NOT NULL,
  high         double precision NOT NULL,
  low          double precision NOT NULL,
  close        double precision NOT NULL,
  volume       double precision NOT NULL,
  vwap         double precision,
  stored_at    timestamptz NOT NULL,     -- when this store first held the bar
  instrument_id integer NOT NULL,
  session      date NOT NULL,
  trades       integer,
  ingest_run_id integer NOT NULL,        -- that wrote the present values
  source_id    smallint NOT NULL,
  PRIMARY KEY (instrument_id, source_id, session),
  CHECK (high >= low AND high >= open AND high >= close AND low <= open AND low <= close AND volume >= 0));

-- What a bar said before it was changed.
CREATE TABLE sec.bar_revision (
  open         double precision NOT NULL,
  high         double precision NOT NULL,
  low          double precision NOT NULL,
  close        double precision NOT NULL,
  volume       double precision NOT NULL,
  vwap         double precision,
  replaced_at  timestamptz NOT NULL,
  instrument_id integer NOT NULL,
  session      date NOT NULL,
  trades       integer,
  old_run_id   integer NOT NULL,
  new_run_id   integer NOT NULL,
  source_id    smallint NOT NULL,
  PRIMARY KEY (instrument_id, source_id, session, replaced_at));

-- One row per instrument, source and session; the arrays are compressed by the server. Yearly partitions are
-- made by the program when the first session of a year arrives.
CREATE TABLE sec.bar_1m_day (
  session_open timestamptz NOT NULL,
  stored_at    timestamptz NOT NULL,
  instrument_id integer NOT NULL,
  session      date NOT NULL,
  ingest_run_id integer NOT NULL,
  source_id    smallint NOT NULL,
  minute       smallint[] NOT NULL,      -- bar start, minutes after session_open; negative before it
  open         double precision[] NOT NULL,
  high         double precision[] NOT NULL,
  low          double precision[] NOT NULL,
  close        double precision[] NOT NULL,
  volume       double precision[] NOT NULL,
  PRIMARY KEY (instrument_id, source_id, session),
  CHECK (cardinality(minute) = cardinality(open) AND cardinality(minute) = cardinality(high)
     AND cardinality(minute) = cardinality(low) AND cardinality(minute) = cardinality(close)
     AND cardinality(minute) = cardinality(volume))
) PARTITION BY RANGE (session);

-- A session's bars before some of them were changed or added.
CREATE TABLE sec.session_revision (
  session_open timestamptz NOT NULL,
  replaced_at  timestamptz NOT NULL,
  instrument_id integer NOT NULL,
  session      date NOT NULL,
  old_run_id   integer NOT NULL,
  new_run_id   integer NOT NULL,
  source_id    smallint NOT NULL,
  minute       smallint[] NOT NULL,
  open         double precision[] NOT NULL,
  high         double precision[] NOT NULL,
  low          double precision[] NOT NULL,
  close        double precision[] NOT NULL,
  volume       double precision[] NOT NULL,
  PRIMARY KEY (instrument_id, source_id, session, replaced_at));

CREATE VIEW sec.bar_1m AS
  SELECT d.instrument_id, d.source_id, d.session, d.session_open + u.m * interval '1 minute' AS ts,
         u.open, u.high, u.low, u.close, u.volume
    FROM sec.bar_1m_day d,
         LATERAL unnest(d.minute, d.open, d.high, d.low, d.close, d.volume) AS u(m, open, high, low, close, volume);

-- ------------------------------------------------------------ corporate actions and adjustment

CREATE TABLE sec.corporate_action (
  ca_id        bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
  vendor_id    smallint NOT NULL REFERENCES sec.vendor,
  instrument_id integer NOT NULL REFERENCES sec.instrument,
  vendor_ref   text NOT NULL DEFAULT '',
  kind         text NOT NULL CHECK (kind IN ('split','dividend')),
  ex_date      date NOT NULL,
  new_rate     numeric CHECK (new_rate > 0),
  old_rate     numeric CHECK (old_rate > 0),
  cash_amount  numeric CHECK (cash_amount > 0),
  currency     text NOT NULL,
  price_factor double precision CHECK (price_factor > 0),   -- the vendor's own, where it publishes one
  known_at     timestamptz NOT NULL,     -- from then on a reader may know it
  stored_at    timestamptz NOT NULL DEFAULT now(),
  withdrawn_at timestamptz,              -- from then on it is replaced or taken back
  CHECK ((kind = 'split') = (new_rate IS NOT NULL AND old_rate IS NOT NULL)),
  CHECK ((kind = 'dividend') = (cash_amount IS NOT NULL)));
CREATE INDEX corporate_action_by_date ON sec.corporate_action (instrument_id, ex_date);

-- Multiply the raw prices of all sessions before ex_date by price_factor, their volumes by volume_factor.
CREATE TABLE sec.adjustment (
  instrument_id integer NOT NULL REFERENCES sec.instrument,
  vendor_id    smallint NOT NULL REFERENCES sec.vendor,
  ex_date      date NOT NULL,
  kind         text NOT NULL CHECK (kind IN ('split','dividend')),
  price_factor double precision NOT NULL CHECK (price_factor > 0),
  volume_factor double precision NOT NULL CHECK (volume_factor > 0),
  known_at     timestamptz NOT NULL,
  withdrawn_at timestamptz,
  ca_id        bigint NOT NULL REFERENCES sec.corporate_action,
  PRIMARY KEY (instrument_id, vendor_id, ex_date, ca_id, known_at));

CREATE AGGREGATE sec.product (double precision) (sfunc = float8mul, stype = double precision, initcond = '1');

-- Daily bars adjusted on read: with the values, and the actions, that were known at p_asof.
CREATE FUNCTION sec.bar_1d_adjusted(
  p_instrument integer, p_source integer, p_from date, p_to date,
  p_kinds text[] DEFAULT '{split}', p_asof timestamptz DEFAULT now())
RETURNS TABLE (session date, open double precision, high double precision, low double precision,
               close double precision, volume double precision, factor double precision)
LANGUAGE sql STABLE AS $$
  SELECT b.session,
         coalesce(r.open, b.open) * f.price, coalesce(r.high, b.high) * f.price,
         coalesce(r.low, b.low) * f.price, coalesce(r.close, b.close) * f.price,
         coalesce(r.volume, b.volume) * f.volume, f.price
    FROM sec.bar_1d b
    JOIN sec.source s ON s.source_id = b.source_id
    LEFT JOIN LATERAL (
           SELECT v.* FROM sec.bar_revision v
            WHERE v.instrument_id = b.instrument_id AND v.source_id = b.source_id AND v.session = b.session
              AND v.replaced_at > p_asof
            ORDER BY v.replaced_at LIMIT 1) r ON true
   CROSS JOIN LATERAL (
           SELECT sec.product(a.price_factor) AS price, sec.product(a.volume_factor) AS volume
             FROM sec.adjustment a
            WHERE a.instrument_id = b.instrument_id AND a.vendor_id = s.vendor_id AND a.ex_date > b.session
              AND a.kind = ANY (p_kinds) AND a.known_at <= p_asof
              AND (a.withdrawn_at IS NULL OR a.withdrawn_at > p_asof)) f
   WHERE b.instrument_id = p_instrument AND b.source_id = p_source AND b.session BETWEEN p_from AND p_to
   ORDER BY b.session $$;

-- ------------------------------------------------------------ strategies and runs

CREATE TABLE ops.strategy (
  strategy_id  integer GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
  name         text NOT NULL UNIQUE,
  created_at   timestamptz NOT NULL DEFAULT now());

-- A run is named by what made it: equal runs share a row.
CREATE TABLE ops.run (
  run_id       text PRIMARY KEY CHECK (run_id ~ '^[0-9a-f]{6,64}$'),
  run_type     text NOT NULL CHECK (run_type IN ('backtest','sweep','paper','live')),
  strategy_id  integer NOT NULL REFERENCES ops.strategy,
  code_sha256  text NOT NULL,
  git_commit   text,
  params       jsonb NOT NULL DEFAULT '{}',
  universe     text[] NOT NULL,
  timeframe    text NOT NULL,
  adjust       text NOT NULL,
  since        date NOT NULL,
  until        date NOT NULL,
  data_asof    timestamptz NOT NULL,
  data_fingerprint text NOT NULL,
  costs        jsonb NOT NULL DEFAULT '{}',
  rules        jsonb NOT NULL DEFAULT '{}',
  engine       jsonb NOT NULL DEFAULT '{}',
  warnings     text[] NOT NULL DEFAULT '{}',
  orders       integer NOT NULL DEFAULT 0,
  report_path  text,
  started_at   timestamptz NOT NULL,
  ended_at     timestamptz,
  recorded_at  timestamptz NOT NULL DEFAULT now());
CREATE INDEX run_recent ON ops.run (strategy_id, started_at DESC);

-- Every distinct run of a strategy that ever was; deleting runs does not lower it, so there is no foreign key.
CREATE TABLE ops.trial (
  strategy_id  integer NOT NULL REFERENCES ops.strategy,
  run_id       text NOT NULL,
  first_at     timestamptz NOT NULL DEFAULT now(),
  PRIMARY KEY (strategy_id, run_id));

CREATE TABLE ops.trade (
  run_id       text NOT NULL REFERENCES ops.run ON DELETE CASCADE,
  ref          integer NOT NULL,
  symbol       text NOT NULL,
  direction    text NOT NULL CHECK (direction IN ('long','short')),
  entered_at   timestamptz NOT NULL,
  exited_at    timestamptz,
  price_in     double precision NOT NULL,
  price_out    double precision,
  shares       double precision NOT NULL,
  pnl          double precision,
  pnl_pct      double precision,
  fees         double precision,
  bars         integer,
  status       text NOT NULL CHECK (status IN ('open','closed')),
  mfe_pct      double precision,
  mae_pct      double precision,
  PRIMARY KEY (run_id, ref));

CREATE TABLE ops.run_performance (
  run_id       text PRIMARY KEY REFERENCES ops.run ON DELETE CASCADE,
  metrics      jsonb NOT NULL);

CREATE TABLE ops.position (
  run_id       text NOT NULL REFERENCES ops.run ON DELETE CASCADE,
  at           timestamptz NOT NULL,
  symbol       text NOT NULL,
  shares       double precision NOT NULL,
  price        double precision,
  value        double precision,
  PRIMARY KEY (run_id, symbol, at));

CREATE TABLE ops.equity (
  run_id       text NOT NULL REFERENCES ops.run ON DELETE CASCADE,
  at           timestamptz NOT NULL,
  equity       double precision,
  cash         double precision,
  gross        double precision,
  net          double precision,
  benchmark    double precision,
  PRIMARY KEY (run_id, at));

-- ------------------------------------------------------------ the seed's names, read only

CREATE SCHEMA seed;

CREATE VIEW seed.exchange AS
  SELECT row_number() OVER (ORDER BY mic)::int AS id, abbrev, name, currency,
         created_at AS created_date, updated_at AS last_updated_date
    FROM sec.venue;

CREATE VIEW seed.data_vendor AS
  SELECT vendor_id::int AS id, name, website_url, created_at AS created_date, updated_at AS last_updated_date
    FROM sec.vendor;

CREATE VIEW seed.symbol AS
  SELECT i.instrument_id AS id, e.id AS exchange_id, s.vendor_id::int AS data_vendor_id, s.symbol AS ticker,
         i.kind AS instrument, i.name, i.sector, i.currency,
         t.shortable, t.borrow_status = 'easy_to_borrow' AS easy_to_borrow, t.marginable, t.tradable, t.status,
         i.created_at AS created_date, i.updated_at AS last_updated_date
    FROM sec.instrument i
    JOIN LATERAL (SELECT x.* FROM sec.instrument_symbol x WHERE x.instrument_id = i.instrument_id
                   ORDER BY upper(x.valid) DESC NULLS FIRST, x.vendor_id LIMIT 1) s ON true
    LEFT JOIN (SELECT row_number() OVER (ORDER BY mic)::int AS id, mic FROM sec.venue) e ON e.mic = i.mic
    LEFT JOIN LATERAL (SELECT x.* FROM sec.instrument_status x
                        WHERE x.instrument_id = i.instrument_id AND x.vendor_id = s.vendor_id
                        ORDER BY x.seen_at DESC LIMIT 1) t ON true;

CREATE VIEW seed.daily_data AS
  SELECT b.instrument_id AS stock_id, s.vendor_id::int AS data_vendor_id, b.session::timestamp AS date_price,
         b.open AS open_price, b.high AS high_price, b.low AS low_price, b.close AS close_price, b.volume,
         b.stored_at AS created_date
    FROM sec.bar_1d b JOIN sec.source s USING (source_id);

CREATE VIEW seed.minute_data AS
  SELECT b.instrument_id AS stock_id, s.vendor_id::int AS data_vendor_id, b.ts AT TIME ZONE 'UTC' AS date_price,
         b.open AS open_price, b.high AS high_price, b.low AS low_price, b.close AS close_price, b.volume
    FROM sec.bar_1m b JOIN sec.source s USING (source_id);

CREATE VIEW seed.run_information AS
  SELECT r.run_id, r.run_type, r.recorded_at AS recorded_time, r.started_at AS start_time, r.ended_at AS end_time,
         s.name AS strategy, array_to_string(r.universe, ',') AS tickers, r.params::text AS indicators,
         r.timeframe AS frequency, NULL::text AS account, r.report_path AS log_file
    FROM ops.run r JOIN ops.strategy s USING (strategy_id);

CREATE VIEW seed.position_performance AS
  SELECT t.run_id, t.ref AS id, t.symbol AS ticker, t.direction, t.entered_at AS start_time, t.exited_at AS end_time,
         t.price_in, t.price_out, t.shares AS size, t.shares * t.price_in AS value, t.pnl, t.pnl_pct,
         sum(t.pnl) OVER (PARTITION BY t.run_id ORDER BY t.ref) AS cum_pnl, t.fees, t.bars,
         t.pnl / nullif(t.bars, 0) AS pnl_per_bar, t.mfe_pct, t.mae_pct, t.status
    FROM ops.trade t;

CREATE VIEW seed.strategy_performance AS
  SELECT r.run_id, s.name AS strategy,
         count(t.ref) FILTER (WHERE t.status = 'open') AS total_open,
         count(t.ref) FILTER (WHERE t.status = 'closed') AS total_closed,
         count(t.ref) FILTER (WHERE t.status = 'closed' AND t.pnl > 0) AS total_won,
         count(t.ref) FILTER (WHERE t.status = 'closed' AND t.pnl < 0) AS total_lost,
         coalesce(sum(t.pnl), 0) AS pnl_net,
         count(t.ref) FILTER (WHERE t.status = 'closed' AND t.pnl > 0)::double precision
           / nullif(count(t.ref) FILTER (WHERE t.status = 'closed'), 0) AS strike_rate,
         p.metrics AS extra
    FROM ops.run r
    JOIN ops.strategy s USING (strategy_id)
    LEFT JOIN ops.trade t ON t.run_id = r.run_id
    LEFT JOIN ops.run_performance p ON p.run_id = r.run_id
   GROUP BY r.run_id, s.name, p.metrics;

CREATE VIEW seed.positions AS
  SELECT run_id, at AS recorded_time, symbol AS ticker, shares AS size, price, value FROM ops.position;

CREATE FUNCTION seed.refuse() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
  RAISE EXCEPTION 'the views of schema seed are read-only' USING ERRCODE = 'read_only_sql_transaction';
END $$;

DO $$
DECLARE name text;
BEGIN
  FOR name IN SELECT table_name FROM information_schema.views WHERE table_schema = 'seed' LOOP
    EXECUTE 'CREATE TRIGGER read_only INSTEAD OF INSERT OR UPDATE OR DELETE ON seed.' || quote_ident(name)
         || ' FOR EACH ROW EXECUTE FUNCTION seed.refuse()';
  END LOOP;
END $$;
