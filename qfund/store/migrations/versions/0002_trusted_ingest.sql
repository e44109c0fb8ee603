-- Ingest that can be trusted: a series knows its calendar, minutes of today are hot, what was not fit is kept,
-- requests are paced and counted, universes have dated members.

-- ------------------------------------------------------------ series and instruments

ALTER TABLE sec.source ADD COLUMN calendar text NOT NULL DEFAULT 'XNYS';   -- of its sessions
UPDATE sec.source SET calendar = '24/7' WHERE hours = 'always';

ALTER TABLE sec.instrument_status ADD COLUMN margin_long numeric, ADD COLUMN margin_short numeric;

-- ------------------------------------------------------------ minute bars

-- Prices that are whole numbers of 10^-decimals, which all quoted prices are, are packed as integers: half the size
-- of float8, and no compression that would cost more than the rest of the write. ticks / 10^decimals is the float8
-- nearest to the decimal number, so nothing is lost; what does not fit so is packed as float8, compressed. A row has
-- either open … close or open_ticks … close_ticks, and either volume or volume_units.
ALTER TABLE sec.bar_1m_day
  DROP CONSTRAINT bar_1m_day_check,
  ALTER COLUMN open DROP NOT NULL,
  ALTER COLUMN high DROP NOT NULL,
  ALTER COLUMN low DROP NOT NULL,
  ALTER COLUMN close DROP NOT NULL,
  ALTER COLUMN volume DROP NOT NULL,
  ADD COLUMN decimals smallint CHECK (decimals BETWEEN 0 AND 15),
  ADD COLUMN open_ticks integer[],
  ADD COLUMN high_ticks integer[],
  ADD COLUMN low_ticks integer[],
  ADD COLUMN close_ticks integer[],
  ADD COLUMN volume_units integer[],
  ADD COLUMN held timestamptz[],         -- since when each bar is held; NULL: all since stored_at
  ADD CONSTRAINT bar_1m_day_one_form CHECK (
    (open IS NULL) = (decimals IS NOT NULL) AND (volume IS NULL) = (volume_units IS NOT NULL)),
  ADD CONSTRAINT bar_1m_day_lengths CHECK (
    cardinality(minute) > 0
    AND cardinality(minute) = coalesce(cardinality(open), cardinality(open_ticks))
    AND cardinality(minute) = coalesce(cardinality(high), cardinality(high_ticks))
    AND cardinality(minute) = coalesce(cardinality(low), cardinality(low_ticks))
    AND cardinality(minute) = coalesce(cardinality(close), cardinality(close_ticks))
    AND cardinality(minute) = coalesce(cardinality(volume), cardinality(volume_units))
    AND (held IS NULL OR cardinality(held) = cardinality(minute)));
ALTER TABLE sec.bar_1m_day
  ALTER COLUMN minute SET STORAGE EXTERNAL,
  ALTER COLUMN open_ticks SET STORAGE EXTERNAL,
  ALTER COLUMN high_ticks SET STORAGE EXTERNAL,
  ALTER COLUMN low_ticks SET STORAGE EXTERNAL,
  ALTER COLUMN close_ticks SET STORAGE EXTERNAL,
  ALTER COLUMN volume_units SET STORAGE EXTERNAL;

ALTER TABLE sec.session_revision ADD COLUMN held timestamptz[];   -- as in sec.bar_1m_day

-- Minutes of sessions that are not over: one row each, as they arrive; packed into sec.bar_1m_day when their session
-- is over, so that a session is in one of the two, never in both. Weekly partitions are made and dropped by the
-- program.
CREATE TABLE sec.bar_1m_hot (
  ts           timestamptz NOT NULL,     -- start of the bar
  open         double precision NOT NULL,
  high         double precision NOT NULL,
  low          double precision NOT NULL,
  close        double precision NOT NULL,
  volume       double precision NOT NULL,
  stored_at    timestamptz NOT NULL,     -- when this store first held the bar
  instrument_id integer NOT NULL,
  session      date NOT NULL,
  ingest_run_id integer NOT NULL,        -- that wrote the present values
  source_id    smallint NOT NULL,
  PRIMARY KEY (instrument_id, source_id, session, ts),
  CHECK (high >= low AND high >= open AND high >= close AND low <= open AND low <= close AND volume >= 0)
) PARTITION BY RANGE (session);

-- What a minute bar said before it was changed while its session was not over.
CREATE TABLE sec.bar_1m_revision (
  ts           timestamptz NOT NULL,
  open         double precision NOT NULL,
  high         double precision NOT NULL,
  low          double precision NOT NULL,
  close        double precision NOT NULL,
  volume       double precision NOT NULL,
  replaced_at  timestamptz NOT NULL,
  instrument_id integer NOT NULL,
  session      date NOT NULL,
  old_run_id   integer NOT NULL,
  new_run_id   integer NOT NULL,
  source_id    smallint NOT NULL,
  PRIMARY KEY (instrument_id, source_id, session, ts, replaced_at));

CREATE OR REPLACE VIEW sec.bar_1m AS
  SELECT d.instrument_id, d.source_id, d.session, d.session_open + u.m * interval '1 minute' AS ts,
         coalesce(u.open, u.open_ticks / power(10::float8, d.decimals)) AS open,
         coalesce(u.high, u.high_ticks / power(10::float8, d.decimals)) AS high,
         coalesce(u.low, u.low_ticks / power(10::float8, d.decimals)) AS low,
         coalesce(u.close, u.close_ticks / power(10::float8, d.decimals)) AS close,
         coalesce(u.volume, u.volume_units::float8) AS volume
    FROM sec.bar_1m_day d,
         LATERAL unnest(d.minute, d.open, d.high, d.low, d.close, d.volume,
                        d.open_ticks, d.high_ticks, d.low_ticks, d.close_ticks, d.volume_units)
           AS u(m, open, high, low, close, volume, open_ticks, high_ticks, low_ticks, close_ticks, volume_units)
   UNION ALL
  SELECT h.instrument_id, h.source_id, h.session, h.ts, h.open, h.high, h.low, h.close, h.volume
    FROM sec.bar_1m_hot h;

-- ------------------------------------------------------------ corporate actions of every type

-- What is neither split, dividend nor spin-off is kept as the vendor told it and applied to nothing.
ALTER TABLE sec.corporate_action
  DROP CONSTRAINT corporate_action_kind_check,
  DROP CONSTRAINT corporate_action_check,
  DROP CONSTRAINT corporate_action_check1,
  ADD COLUMN symbol text,                -- as the vendor called it; of a rename the symbol before
  ADD COLUMN other_symbol text,          -- spin-off: what is received; rename, merger: the symbol after
  ADD COLUMN payload json,               -- what the vendor said, letter by letter
  ADD CONSTRAINT corporate_action_kind_check CHECK (kind IN (
    'split','dividend','spinoff','stock_dividend','unit_split','name_change','cash_merger','stock_merger',
    'stock_and_cash_merger','worthless_removal','redemption','rights_distribution','partial_call',
    'reorganization','other')),
  ADD CONSTRAINT corporate_action_split CHECK (kind <> 'split' OR (new_rate IS NOT NULL AND old_rate IS NOT NULL)),
  ADD CONSTRAINT corporate_action_dividend CHECK (kind <> 'dividend' OR cash_amount IS NOT NULL),
  ADD CONSTRAINT corporate_action_spinoff
    CHECK (kind <> 'spinoff' OR (new_rate IS NOT NULL AND old_rate IS NOT NULL AND other_symbol IS NOT NULL));

ALTER TABLE sec.adjustment
  DROP CONSTRAINT adjustment_kind_check,
  ADD CONSTRAINT adjustment_kind_check CHECK (kind IN ('split','dividend','spinoff')),
  ADD COLUMN stored_at timestamptz;      -- a spin-off's factor may come later than its action
UPDATE sec.adjustment a SET stored_at = greatest(c.stored_at, CASE WHEN a.known_at > c.known_at THEN a.known_at END)
  FROM sec.corporate_action c WHERE c.ca_id = a.ca_id;
ALTER TABLE sec.adjustment ALTER COLUMN stored_at SET NOT NULL, ALTER COLUMN stored_at SET DEFAULT now();

-- Splits and spin-offs by default, as the program's 'split'.
CREATE OR REPLACE FUNCTION sec.bar_1d_adjusted(
  p_instrument integer, p_source integer, p_from date, p_to date,
  p_kinds text[] DEFAULT '{split,spinoff}', p_asof timestamptz DEFAULT now())
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

-- ------------------------------------------------------------ what was not fit, and what another vendor filled

CREATE TABLE sec.quarantine (
  quarantine_id bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
  ingest_run_id integer NOT NULL REFERENCES ops.ingest_run,   -- that brought it first
  last_run_id  integer NOT NULL REFERENCES ops.ingest_run,    -- that brought it last
  source_id    smallint NOT NULL REFERENCES sec.source,
  timeframe    text NOT NULL CHECK (timeframe IN ('1d','1m')),
  instrument_id integer REFERENCES sec.instrument,   -- NULL: a symbol that was not asked for
  symbol       text,
  session      date,
  ts           timestamptz,              -- minute bars: their start
  reason       text NOT NULL,
  variant      text NOT NULL DEFAULT '', -- of bars that conflict: a digest, so that each of them is kept
  bar          jsonb NOT NULL,           -- open, high, low, close, volume as they came last; "NaN" as text
  whole        boolean NOT NULL DEFAULT true,   -- whether all that was rejected of the session is kept
  times_seen   integer NOT NULL DEFAULT 1,
  first_seen_at timestamptz NOT NULL DEFAULT clock_timestamp(),
  seen_at      timestamptz NOT NULL DEFAULT clock_timestamp(),
  released_at  timestamptz,
  released_by  text CHECK (released_by IN ('answer','person','other')),
  -- answer: a later answer was fit; person: accepted as it came; other: another bar of its time was accepted
  CHECK ((released_at IS NULL) = (released_by IS NULL)));
-- The same bad row seen again is the same row.
CREATE UNIQUE INDEX quarantine_once ON sec.quarantine (
  source_id, timeframe, coalesce(instrument_id, 0), coalesce(session, '-infinity'::date),
  coalesce(ts, '-infinity'::timestamptz), coalesce(symbol, ''), reason, variant) WHERE released_at IS NULL;
CREATE INDEX quarantine_by_run ON sec.quarantine (last_run_id);
CREATE INDEX quarantine_accepted ON sec.quarantine (source_id, timeframe, session) WHERE released_by = 'person';

-- Bars of a series that another series had: provenance bar by bar.
CREATE TABLE sec.repair (
  instrument_id integer NOT NULL REFERENCES sec.instrument,
  source_id    smallint NOT NULL REFERENCES sec.source,
  timeframe    text NOT NULL CHECK (timeframe IN ('1d','1m')),
  session      date NOT NULL,
  minute       smallint[],               -- which bars of the session, minutes after its open; NULL: the daily bar
  from_source_id smallint NOT NULL REFERENCES sec.source,
  from_instrument_id integer NOT NULL REFERENCES sec.instrument,
  ingest_run_id integer NOT NULL REFERENCES ops.ingest_run,
  repaired_at  timestamptz NOT NULL DEFAULT now(),
  PRIMARY KEY (instrument_id, source_id, timeframe, session, from_source_id));

-- ------------------------------------------------------------ who is asked how often

-- Which run is fetching an instrument's series now; the row of a run that died is taken over (its lock is gone).
CREATE TABLE ops.ingest_claim (
  source_id    smallint NOT NULL REFERENCES sec.source,
  timeframe    text NOT NULL CHECK (timeframe IN ('1d','1m')),
  instrument_id integer NOT NULL REFERENCES sec.instrument,
  ingest_run_id integer NOT NULL REFERENCES ops.ingest_run,
  claimed_at   timestamptz NOT NULL DEFAULT now(),
  PRIMARY KEY (source_id, timeframe, instrument_id));

-- One bucket for each account of a vendor, shared by all processes on all machines. Room in the page lets the one
-- row be renewed thousands of times a minute without touching its index.
CREATE TABLE ops.pace (
  account      text PRIMARY KEY,         -- vendor, host and a digest of the key; never the key
  requests     integer NOT NULL CHECK (requests > 0),        -- allowed in any window
  seconds      double precision NOT NULL CHECK (seconds > 0),
  every        double precision NOT NULL CHECK (every > 0),  -- seconds between two requests in the long run
  slack        double precision NOT NULL CHECK (slack >= 0), -- seconds that an idle account may catch up at once
  next_at      timestamptz NOT NULL DEFAULT '-infinity',     -- all slots before are given away, but for the slack
  blocked_until timestamptz NOT NULL DEFAULT '-infinity',    -- the vendor's own word
  told_at      timestamptz,              -- when the vendor told this rate; NULL: as declared
  updated_at   timestamptz NOT NULL DEFAULT now()) WITH (fillfactor = 10);

CREATE TABLE ops.request_ledger (
  vendor       text NOT NULL,
  account      text NOT NULL,
  month        date NOT NULL CHECK (extract(day FROM month) = 1),
  requests     bigint NOT NULL DEFAULT 0,
  throttled    bigint NOT NULL DEFAULT 0,
  retried      bigint NOT NULL DEFAULT 0,
  bytes        bigint NOT NULL DEFAULT 0,
  credits      numeric NOT NULL DEFAULT 0,
  PRIMARY KEY (vendor, account, month));

-- ------------------------------------------------------------ universes

CREATE TABLE sec.universe (
  universe_id  integer GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
  name         text NOT NULL UNIQUE CHECK (name ~ '^[a-z0-9][a-z0-9_-]*$'),
  title        text NOT NULL DEFAULT '',
  origin       text NOT NULL,            -- where refresh reads it again: file:PATH, vendor:NAME, builtin:NAME, symbols
  dated_from   date NOT NULL,            -- before it, members without a first day are a later list applied to the past
  created_at   timestamptz NOT NULL DEFAULT now(),
  refreshed_at timestamptz NOT NULL DEFAULT now());

-- Membership is by symbol, dated: the symbol as it was called then.
CREATE TABLE sec.universe_member (
  universe_id  integer NOT NULL REFERENCES sec.universe ON DELETE CASCADE,
  symbol       text NOT NULL,
  valid        daterange NOT NULL CHECK (NOT isempty(valid)),
  CONSTRAINT member_once EXCLUDE USING gist (
    sec.textrange(universe_id || ':' || symbol, universe_id || ':' || symbol, '[]') WITH &&, valid WITH &&));
