-- SPDX-License-Identifier: Apache-2.0
--
-- What people write and what may come: posts, the instruments they mention, sentiment over time; forecasts, how they
-- came out; and the jobs that make them.

create table market.posts (
    id text collate "C" primary key,
    kind text collate "C" not null,
    source text collate "C" not null,
    subreddit text,
    author text,
    title text,
    body text,
    url text,
    score bigint,
    num_comments bigint,
    upvote_ratio double precision,
    submission_id text collate "C",
    created_at timestamptz not null,
    edited_at timestamptz,
    is_deleted boolean not null default false,
    observed_at timestamptz not null,
    sentiment double precision,
    positive double precision,
    negative double precision,
    neutral double precision,
    finance_sentiment double precision,
    constraint posts_kind check (kind in ('comment', 'submission'))
);

create index posts_created_at on market.posts (created_at, id);
-- The comments of a submission, whose mentions follow its text.
create index posts_submission on market.posts (submission_id) where submission_id is not null;

comment on table market.posts is
    'Posts of Reddit, the newest version of each that has been seen. Of a deleted post the texts are gone.';
comment on column market.posts.id is
    'Reddit''s full name: t1_ and the id of a comment, t3_ and the id of a submission.';
comment on column market.posts.kind is
    'comment or submission.';
comment on column market.posts.source is
    'Where the post came from, e.g. reddit or file.';
comment on column market.posts.subreddit is
    'Subreddit it stands in, without r/.';
comment on column market.posts.author is
    'Name of the account, as the source gave it; null when unknown or deleted.';
comment on column market.posts.title is
    'Title of a submission; for a comment that of its submission, if the source gave it.';
comment on column market.posts.body is
    'Text in Reddit''s Markdown; empty for a submission that is a link.';
comment on column market.posts.url is
    'Address that a submission links to, or its own.';
comment on column market.posts.score is
    'Upvotes less downvotes when last seen.';
comment on column market.posts.num_comments is
    'Comments of a submission when last seen.';
comment on column market.posts.upvote_ratio is
    'Share of upvotes among the votes of a submission, from 0 to 1.';
comment on column market.posts.submission_id is
    'Of a comment: id of the submission it belongs to.';
comment on column market.posts.created_at is
    'When it was written, UTC.';
comment on column market.posts.edited_at is
    'When it was last edited, UTC; null when never.';
comment on column market.posts.is_deleted is
    'Whether its author has deleted it or a moderator removed it.';
comment on column market.posts.observed_at is
    'When this version was read from the source, UTC.';
comment on column market.posts.sentiment is
    'VADER''s compound of the title and the text of a submission, or the text of a comment, from -1 to 1; null for a deleted post.';
comment on column market.posts.positive is
    'Share of the text that is positive (VADER), from 0 to 1.';
comment on column market.posts.negative is
    'Share of the text that is negative (VADER), from 0 to 1.';
comment on column market.posts.neutral is
    'Share of the text that is neutral (VADER), from 0 to 1.';
comment on column market.posts.finance_sentiment is
    'As sentiment, with the finance lexicon on top; null unless TAPEDECK_SENTIMENT is finance.';

create table market.mentions (
    post_id text collate "C" not null references market.posts (id) on delete cascade,
    symbol text collate "C" not null,
    ts timestamptz not null,
    subreddit text,
    title_sentiment double precision,
    body_sentiment double precision,
    sentiment double precision not null,
    finance_sentiment double precision,
    primary key (post_id, symbol)
);

create index mentions_symbol_ts on market.mentions (symbol, ts);
create index mentions_ts on market.mentions (ts);

comment on table market.mentions is
    'Which instruments each post speaks of: by itself, or by the submission it answers. Always what the posts as they stand give.';
comment on column market.mentions.post_id is
    'Post in market.posts.';
comment on column market.mentions.symbol is
    'Instrument, as in market.instruments.';
comment on column market.mentions.ts is
    'When the post was written, UTC.';
comment on column market.mentions.subreddit is
    'Subreddit of the post.';
comment on column market.mentions.title_sentiment is
    'VADER''s compound of the title of the submission; null when it is not known.';
comment on column market.mentions.body_sentiment is
    'VADER''s compound of the post''s own text; null when it has none.';
comment on column market.mentions.sentiment is
    'The post''s sentiment, as in market.posts.';
comment on column market.mentions.finance_sentiment is
    'The post''s finance_sentiment, as in market.posts.';

create table market.sentiment_bars (
    symbol text collate "C" not null,
    timeframe text collate "C" not null,
    ts timestamptz not null,
    mean_sentiment double precision not null,
    post_count bigint not null,
    positive_count bigint not null,
    negative_count bigint not null,
    mean_finance_sentiment double precision,
    primary key (symbol, timeframe, ts),
    constraint sentiment_bars_timeframe check (timeframe in ('1m', '5m', '15m', '1h', '1d'))
);

comment on table market.sentiment_bars is
    'Sentiment of each symbol over time, in five timeframes: always what market.mentions gives from scratch, however late, edited or deleted its posts are.';
comment on column market.sentiment_bars.symbol is
    'Instrument, as in market.mentions.';
comment on column market.sentiment_bars.timeframe is
    'Length of the bar: 1m 5m 15m 1h 1d. Name one, or every mention is met five times.';
comment on column market.sentiment_bars.ts is
    'Start of the bar, UTC, inclusive; it ends before ts + timeframe.';
comment on column market.sentiment_bars.mean_sentiment is
    'Mean of the mentions'' sentiment, from -1 to 1.';
comment on column market.sentiment_bars.post_count is
    'Posts that mention the symbol, at least 1.';
comment on column market.sentiment_bars.positive_count is
    'Of these, posts with a sentiment of 0.05 or more.';
comment on column market.sentiment_bars.negative_count is
    'Of these, posts with a sentiment of -0.05 or less.';
comment on column market.sentiment_bars.mean_finance_sentiment is
    'Mean of finance_sentiment over the posts that have one; null when none has.';

-- Called by the sink inside its transaction, for the mentions that were there before and those that are there now.
create function ops.refresh_sentiment_bars(symbols text[], times timestamptz[]) returns bigint
language sql volatile
set search_path = pg_catalog, pg_temp
as $$
    with touched as (
        select distinct t.symbol, f.timeframe, date_bin(f.width, t.ts, timestamptz 'epoch') as ts, f.width
        from unnest(symbols, times) as t (symbol, ts),
            (values ('1m', interval '1 minute'), ('5m', interval '5 minutes'), ('15m', interval '15 minutes'),
                    ('1h', interval '1 hour'), ('1d', interval '1 day')) as f (timeframe, width)
    ), computed as (
        select t.symbol, t.timeframe, t.ts, m.*
        from touched t,
            lateral (
                -- Scores have four decimals: summed as integers, the mean does not depend on the order.
                select sum(round(sentiment * 10000)::bigint)::double precision / 10000 / nullif(count(*), 0) as mean_sentiment,
                    count(*) as post_count,
                    count(*) filter (where sentiment >= 0.05) as positive_count,
                    count(*) filter (where sentiment <= -0.05) as negative_count,
                    sum(round(finance_sentiment * 10000)::bigint)::double precision / 10000
                        / nullif(count(finance_sentiment), 0) as mean_finance_sentiment
                from market.mentions
                where mentions.symbol = t.symbol and mentions.ts >= t.ts and mentions.ts < t.ts + t.width
            ) as m
    ), gone as (
        delete from market.sentiment_bars b using computed c
        where c.post_count = 0 and b.symbol = c.symbol and b.timeframe = c.timeframe and b.ts = c.ts
    ), written as (
        insert into market.sentiment_bars as b
            (symbol, timeframe, ts, mean_sentiment, post_count, positive_count, negative_count, mean_finance_sentiment)
        select symbol, timeframe, ts, mean_sentiment, post_count, positive_count, negative_count, mean_finance_sentiment
        from computed where post_count > 0
        on conflict (symbol, timeframe, ts) do update set
            mean_sentiment = excluded.mean_sentiment, post_count = excluded.post_count,
            positive_count = excluded.positive_count, negative_count = excluded.negative_count,
            mean_finance_sentiment = excluded.mean_finance_sentiment
    )
    select count(*) from computed
$$;

revoke all on function ops.refresh_sentiment_bars(text[], timestamptz[]) from public;

comment on function ops.refresh_sentiment_bars(text[], timestamptz[]) is
    'Computes the bars of market.sentiment_bars that the given (symbol, ts) fall into, from market.mentions; returns how many.';

create view market.sentiment_windows as
select
    m.symbol,
    w.span,
    avg(m.sentiment) as mean_sentiment,
    count(*) as post_count,
    count(*) filter (where m.sentiment >= 0.05) as positive_count,
    count(*) filter (where m.sentiment <= -0.05) as negative_count
from (values ('30m', interval '30 minutes'), ('1h', interval '1 hour'), ('2h', interval '2 hours'), ('4h', interval '240 minutes'))
        as w (span, width)
    join market.mentions m on m.ts > now() - w.width and m.ts <= now()
group by m.symbol, w.span
union all
select symbol, 'now', sentiment, 1, (sentiment >= 0.05)::integer, (sentiment <= -0.05)::integer
from (
    select distinct on (symbol) symbol, sentiment from market.mentions
    where ts <= now() order by symbol, ts desc, post_id desc
) as latest;

comment on view market.sentiment_windows is
    'Sentiment of each symbol over the last 30 minutes, 1, 2 and 4 hours, and of its latest post.';
comment on column market.sentiment_windows.symbol is
    'Instrument, as in market.mentions.';
comment on column market.sentiment_windows.span is
    'How far back: 30m 1h 2h 4h, or now for the latest post alone.';
comment on column market.sentiment_windows.mean_sentiment is
    'Mean sentiment of the posts in the window, from -1 to 1.';
comment on column market.sentiment_windows.post_count is
    'Posts in the window.';
comment on column market.sentiment_windows.positive_count is
    'Of these, posts with a sentiment of 0.05 or more.';
comment on column market.sentiment_windows.negative_count is
    'Of these, posts with a sentiment of -0.05 or less.';

create view market.mention_counts as
select
    symbol,
    subreddit,
    date_trunc('hour', ts, 'UTC') as ts,
    count(*) as mention_count,
    avg(sentiment) as mean_sentiment
from market.mentions
group by symbol, subreddit, date_trunc('hour', ts, 'UTC');

comment on view market.mention_counts is
    'How often each symbol is mentioned in each subreddit, by hour, and in which mood.';
comment on column market.mention_counts.symbol is
    'Instrument, as in market.mentions.';
comment on column market.mention_counts.subreddit is
    'Subreddit, without r/.';
comment on column market.mention_counts.ts is
    'Start of the hour, UTC.';
comment on column market.mention_counts.mention_count is
    'Posts that mention the symbol.';
comment on column market.mention_counts.mean_sentiment is
    'Their mean sentiment, from -1 to 1.';

create view market.sentiment_prices as
select
    s.symbol,
    s.timeframe,
    s.ts,
    s.mean_sentiment,
    s.post_count,
    p.price,
    p.price_ts
from market.sentiment_bars s
    left join lateral (
        -- The last bar that had begun when the sentiment's bar ended.
        select b.close as price, b.ts as price_ts
        from market.bars b
        where b.symbol = s.symbol and b.timeframe = s.timeframe and b.ts <= s.ts
        order by b.ts desc limit 1
    ) as p on true;

comment on view market.sentiment_prices is
    'Sentiment beside the price as of the same time: each sentiment bar with the close of the latest price bar of the same timeframe that is not later.';
comment on column market.sentiment_prices.symbol is
    'Instrument, as in market.mentions; prices are found where trades have the same symbol.';
comment on column market.sentiment_prices.timeframe is
    'Length of both bars: 1m 5m 15m 1h 1d.';
comment on column market.sentiment_prices.ts is
    'Start of the sentiment bar, UTC.';
comment on column market.sentiment_prices.mean_sentiment is
    'Mean sentiment of the bar, from -1 to 1.';
comment on column market.sentiment_prices.post_count is
    'Posts in the bar.';
comment on column market.sentiment_prices.price is
    'Close of the price bar; null before the first trade.';
comment on column market.sentiment_prices.price_ts is
    'Start of the price bar, UTC: the same as ts, or earlier if nothing traded.';

-- Forecasts.

create table market.forecasts (
    forecast_id bigint generated always as identity primary key,
    symbol text collate "C" not null,
    made_at timestamptz not null,
    model text not null,
    spot double precision not null,
    spot_ts timestamptz not null,
    drift double precision not null,
    volatility double precision not null,
    step_seconds double precision not null,
    steps bigint not null,
    paths bigint not null,
    seed bigint not null,
    lookback text,
    timeframe text collate "C" not null,
    price text not null,
    time_base text not null,
    "returns" bigint,
    antithetic boolean not null,
    made_by text not null
);

create index forecasts_symbol_made_at on market.forecasts (symbol, made_at);
create index forecasts_made_at on market.forecasts (made_at);

comment on table market.forecasts is
    'Simulations of where a price may go, each with every parameter: the same parameters give the same numbers again.';
comment on column market.forecasts.forecast_id is
    'Number of the forecast.';
comment on column market.forecasts.symbol is
    'Instrument, as in market.trades.';
comment on column market.forecasts.made_at is
    'When it was made, UTC.';
comment on column market.forecasts.model is
    'gbm: geometric Brownian motion, dS = drift S dt + volatility S dW.';
comment on column market.forecasts.spot is
    'Price it starts from, in the currency of the instrument.';
comment on column market.forecasts.spot_ts is
    'Time that step 0 stands for, UTC: the end of the last bar it knew, or made_at if that is earlier.';
comment on column market.forecasts.drift is
    'Expected growth a year, continuously compounded (0.1 is about 10 %).';
comment on column market.forecasts.volatility is
    'Standard deviation of the log return of a year.';
comment on column market.forecasts.step_seconds is
    'Length of a step, in seconds of the time that ts counts.';
comment on column market.forecasts.steps is
    'Number of steps.';
comment on column market.forecasts.paths is
    'Number of simulated paths.';
comment on column market.forecasts.seed is
    'Seed of the random numbers.';
comment on column market.forecasts.lookback is
    'How far back prices were taken for drift and volatility, e.g. 30d; null when both were given.';
comment on column market.forecasts.timeframe is
    'Bars that the prices come from.';
comment on column market.forecasts.price is
    'Which price of a bar: close or vwap.';
comment on column market.forecasts.time_base is
    'calendar: a year has 365 days and time counts as it passes; trading: a bar follows the other, 252 days a year.';
comment on column market.forecasts."returns" is
    'Log returns that drift and volatility rest on; null when both were given.';
comment on column market.forecasts.antithetic is
    'Whether half of the paths mirror the others.';
comment on column market.forecasts.made_by is
    'What made it: job, command or api.';

create table market.forecast_steps (
    forecast_id bigint not null references market.forecasts on delete cascade,
    step bigint not null,
    ts timestamptz not null,
    mean double precision not null,
    p05 double precision not null,
    p25 double precision not null,
    p50 double precision not null,
    p75 double precision not null,
    p95 double precision not null,
    actual double precision,
    crps double precision,
    naive_crps double precision,
    primary key (forecast_id, step)
);

create index forecast_steps_open on market.forecast_steps (ts) where actual is null;

comment on table market.forecast_steps is
    'The fan of each forecast: mean and quantiles of the price at each step, and later the price that came.';
comment on column market.forecast_steps.forecast_id is
    'Forecast in market.forecasts.';
comment on column market.forecast_steps.step is
    'Number of the step, from 1.';
comment on column market.forecast_steps.ts is
    'Time the step stands for, UTC.';
comment on column market.forecast_steps.mean is
    'Mean price over all paths.';
comment on column market.forecast_steps.p05 is
    '5 % of the paths are below.';
comment on column market.forecast_steps.p25 is
    '25 % of the paths are below.';
comment on column market.forecast_steps.p50 is
    'Median.';
comment on column market.forecast_steps.p75 is
    '75 % of the paths are below.';
comment on column market.forecast_steps.p95 is
    '95 % of the paths are below.';
comment on column market.forecast_steps.actual is
    'Price of the last trade at or before ts; null until the tape has passed ts.';
comment on column market.forecast_steps.crps is
    'Continuous ranked probability score of the forecast''s distribution, in units of the price; smaller is better. Null until actual is there.';
comment on column market.forecast_steps.naive_crps is
    'The same score of "the price stays": the distance of actual from spot.';

create table market.forecast_outcomes (
    forecast_id bigint not null references market.forecasts on delete cascade,
    bin bigint not null,
    price_low double precision not null,
    price_high double precision not null,
    count bigint not null,
    density double precision not null,
    primary key (forecast_id, bin)
);

comment on table market.forecast_outcomes is
    'Histogram of the prices at the last step of each forecast.';
comment on column market.forecast_outcomes.forecast_id is
    'Forecast in market.forecasts.';
comment on column market.forecast_outcomes.bin is
    'Number of the bin, from 0 upwards in price.';
comment on column market.forecast_outcomes.price_low is
    'Lower end of the bin, inclusive.';
comment on column market.forecast_outcomes.price_high is
    'Upper end of the bin; the last one includes it.';
comment on column market.forecast_outcomes.count is
    'Paths that end in the bin.';
comment on column market.forecast_outcomes.density is
    'Share of the paths by unit of price.';

create table market.forecast_paths (
    forecast_id bigint not null references market.forecasts on delete cascade,
    path bigint not null,
    step bigint not null,
    price double precision not null,
    primary key (forecast_id, path, step)
);

comment on table market.forecast_paths is
    'A few simulated paths of each forecast, to be looked at.';
comment on column market.forecast_paths.forecast_id is
    'Forecast in market.forecasts.';
comment on column market.forecast_paths.path is
    'Number of the path, from 0.';
comment on column market.forecast_paths.step is
    'Number of the step, from 1.';
comment on column market.forecast_paths.price is
    'Price of the path at the step.';

create view market.forecast_calibration as
select
    f.symbol,
    f.model,
    f.step_seconds,
    s.step,
    count(*) as forecast_count,
    avg((s.actual between s.p25 and s.p75)::integer)::double precision as coverage_50,
    avg((s.actual between s.p05 and s.p95)::integer)::double precision as coverage_90,
    avg(s.crps) as mean_crps,
    avg(s.naive_crps) as mean_naive_crps
from market.forecast_steps s
    join market.forecasts f on f.forecast_id = s.forecast_id
where s.actual is not null
group by f.symbol, f.model, f.step_seconds, s.step;

comment on view market.forecast_calibration is
    'How well the fans of past forecasts fit what came, by symbol and distance: a good 50 % band holds half of the prices, a good 90 % band nine of ten.';
comment on column market.forecast_calibration.symbol is
    'Instrument, as in market.forecasts.';
comment on column market.forecast_calibration.model is
    'Model of the forecasts.';
comment on column market.forecast_calibration.step_seconds is
    'Length of their steps, in seconds.';
comment on column market.forecast_calibration.step is
    'How many steps ahead.';
comment on column market.forecast_calibration.forecast_count is
    'Forecasts whose price at this step is known.';
comment on column market.forecast_calibration.coverage_50 is
    'Share of prices between p25 and p75; 0.5 would be right.';
comment on column market.forecast_calibration.coverage_90 is
    'Share of prices between p05 and p95; 0.9 would be right.';
comment on column market.forecast_calibration.mean_crps is
    'Mean score of the forecasts, in units of the price.';
comment on column market.forecast_calibration.mean_naive_crps is
    'Mean score of "the price stays": what the model has to beat.';

create view market.gbm_predictions as
select
    f.symbol,
    s.ts as "timestamp",
    s.mean as gbm,
    s.actual,
    s.forecast_id
from market.forecast_steps s
    join market.forecasts f on f.forecast_id = s.forecast_id
where f.model = 'gbm';

comment on view market.gbm_predictions is
    'Predicted beside actual prices, one row for each step of each forecast.';
comment on column market.gbm_predictions.symbol is
    'Instrument, as in market.forecasts.';
comment on column market.gbm_predictions."timestamp" is
    'Time the prediction is for, UTC.';
comment on column market.gbm_predictions.gbm is
    'Predicted price: the mean over the paths.';
comment on column market.gbm_predictions.actual is
    'Price that came; null while it is not known.';
comment on column market.gbm_predictions.forecast_id is
    'Forecast it belongs to: the same time is predicted by many.';

-- Jobs.

create table ops.jobs (
    job text collate "C" primary key,
    schedule text not null,
    last_run_at timestamptz,
    last_finished_at timestamptz,
    last_result text,
    last_message text,
    next_run_at timestamptz,
    updated_at timestamptz not null default now(),
    constraint jobs_last_result check (last_result in ('running', 'ok', 'failed'))
);

comment on table ops.jobs is
    'The jobs that processors run by the clock, one at a time on all machines: how the last run went, when the next is due.';
comment on column ops.jobs.job is
    'Name of the job, as tapedeck jobs run takes it.';
comment on column ops.jobs.schedule is
    'When it runs: minute, hour, day of month, month, day of week (cron, UTC), or off.';
comment on column ops.jobs.last_run_at is
    'When the last run began, UTC.';
comment on column ops.jobs.last_finished_at is
    'When it ended, UTC.';
comment on column ops.jobs.last_result is
    'running, ok or failed; running long after last_run_at is a run that died.';
comment on column ops.jobs.last_message is
    'What it did, or why it failed.';
comment on column ops.jobs.next_run_at is
    'When it is due next, UTC; null when its schedule is off.';
comment on column ops.jobs.updated_at is
    'When the row last changed, UTC.';

create table ops.job_runs (
    run_id bigint generated always as identity primary key,
    job text collate "C" not null,
    attempt bigint not null,
    runner text not null,
    started_at timestamptz not null default now(),
    finished_at timestamptz,
    result text,
    message text
);

create index job_runs_job on ops.job_runs (job, started_at);

comment on table ops.job_runs is
    'Every attempt at every job, kept 30 days.';
comment on column ops.job_runs.run_id is
    'Number of the attempt.';
comment on column ops.job_runs.job is
    'Job in ops.jobs.';
comment on column ops.job_runs.attempt is
    'From 1: a failed run is tried again a few times.';
comment on column ops.job_runs.runner is
    'Host and process that ran it.';
comment on column ops.job_runs.started_at is
    'When it began, UTC.';
comment on column ops.job_runs.finished_at is
    'When it ended, UTC; null while it runs, or if it died.';
comment on column ops.job_runs.result is
    'ok or failed; null while it runs, or if it died.';
comment on column ops.job_runs.message is
    'What it did, or why it failed.';

grant select on ops.jobs, ops.job_runs to tapedeck_reader;
