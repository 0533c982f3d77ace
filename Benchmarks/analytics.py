# SPDX-License-Identifier: Apache-2.0
"""What `bench analytics` is measured beside; prints one number, seconds of one processor's time for the first two.

    python analytics.py sentiment FILE ROUNDS    vaderSentiment over the texts of a file, one a line
    python analytics.py forecast PATHS STEPS     NumPy: the paths, their mean, quantiles at each step, a histogram
    python analytics.py texts FILE TO            writes the comments of a recording into a file, one a line
"""
import gzip
import json
import re
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


def texts(recording, path):
    # What Python takes for the end of a line would make two of one.
    ends = re.compile("[\n\r\v\f\x1c-\x1e\x85\u2028\u2029]")
    with gzip.open(recording, "rt", encoding="utf8") as file, open(path, "w", encoding="utf8") as to:
        return sum(bool(to.write(ends.sub(" ", json.loads(line)["body"]) + "\n")) for line in file)


commands = {"sentiment": sentiment, "forecast": forecast, "texts": texts}
print(commands[sys.argv[1]](*(int(word) if word.isdigit() else word for word in sys.argv[2:])))
