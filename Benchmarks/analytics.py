# SPDX-License-Identifier: Apache-2.0
"""What `bench analytics` is measured beside: prints seconds of one processor's time.

    python analytics.py sentiment FILE ROUNDS    vaderSentiment over the texts of a file, one a line
    python analytics.py forecast PATHS STEPS     NumPy: the paths, their mean, quantiles at each step, a histogram
"""
import sys
import time


def sentiment(path, rounds):
    from vaderSentiment.vaderSentiment import SentimentIntensityAnalyzer

    analyzer = SentimentIntensityAnalyzer()
    with open(path, encoding="utf8") as file:
        texts = [line.rstrip("\n") for line in file]
    begun = time.process_time()
    for _ in range(rounds):
        for text in texts:
            analyzer.polarity_scores(text)
    return time.process_time() - begun


def forecast(paths, steps):
    import numpy

    begun = time.process_time()
    dt, drift, volatility = 1 / 252, 0.1, 0.3
    z = numpy.random.default_rng(42).standard_normal((steps, paths))
    z *= volatility * numpy.sqrt(dt)
    z += (drift - volatility**2 / 2) * dt
    numpy.cumsum(z, axis=0, out=z)
    numpy.exp(z, out=z)
    z *= 100
    z.mean(axis=1)
    numpy.percentile(z, [5, 25, 50, 75, 95], axis=1)
    numpy.histogram(z[-1], 50)
    return time.process_time() - begun


if sys.argv[1] == "sentiment":
    print(sentiment(sys.argv[2], int(sys.argv[3])))
else:
    print(forecast(int(sys.argv[2]), int(sys.argv[3])))
