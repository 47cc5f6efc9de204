"""Counts the words of a text."""

from collections import Counter

from flask import Flask, render_template, request

app = Flask(__name__)


@app.get("/")
def form():
    return render_template("count.html", text="", counts=[])


@app.post("/")
def count():
    text = request.form.get("text", "")
    return render_template("count.html", text=text, counts=Counter(text.lower().split()).most_common(10))


@app.get("/healthz")
def healthz():
    return {"status": "ok"}
