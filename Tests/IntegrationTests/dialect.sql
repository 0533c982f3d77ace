CREATE TABLE public.events (
    id bigint PRIMARY KEY, ts timestamp NOT NULL, tstz timestamptz, day date, name text, kind varchar(20), qty integer,
    small smallint, price double precision, ratio real, amount numeric(12, 2), ok boolean, payload jsonb, tags text[],
    uid uuid, raw bytea, code char(4), tm time)

COMMENT ON TABLE public.events IS 'Events of a shop.'

COMMENT ON COLUMN public.events.qty IS 'Pieces.'

INSERT INTO public.events
SELECT n, timestamp '2024-01-02 00:00:00' + n * interval '7 hours', timestamptz '2024-01-02 00:00:00+00' + n * interval '7 hours',
    date '2024-01-02' + n, 'name' || n, (array['alpha', 'beta', 'δ', null])[n % 4 + 1], n * 3, n, n * 1.5, n / 2.0,
    n * 1.25, n % 2 = 0, jsonb_build_object('a', n), array['x', n::text], md5(n::text)::uuid, decode('00ff', 'hex'),
    'c' || n, time '12:00:00' + n * interval '1 minute'
FROM generate_series(1, 40) AS n

CREATE VIEW public.event_counts AS SELECT kind, count(*) AS n FROM public.events GROUP BY kind

GRANT SELECT ON public.events, public.event_counts TO tapedeck_reader

SELECT ops.ensure_trade_partitions(array[date '2024-01-02'])

INSERT INTO market.trades (symbol, ts, source, trade_id, price, size)
SELECT (array['AAPL', 'MSFT'])[n % 2 + 1], timestamptz '2024-01-02 15:30:00+00' + n * interval '10 seconds', 'file', n,
    100 + n, n * 0.5
FROM generate_series(1, 10) AS n

INSERT INTO market.instruments (symbol, name, sector) VALUES ('AAPL', 'Apple', 'Technology'), ('MSFT', 'Microsoft', NULL), ('XOM', 'Exxon', 'Energy')
