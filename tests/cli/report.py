"""The report of runs: what the page and the tables say, and how the page does in a browser."""
import base64
import csv
import json
import re
import shutil
import unittest

import browser
from support import CAN_PLAY, POPH, RUN, WITH_SOUND, Case, loss_parts, melody

HOSTILE = "<script>alert('x')</script>"


class Reported(Case):
    """Two configurations with three seeds, a leaky one, and one that failed; one label is hostile."""

    @classmethod
    def setUpClass(cls):
        super().setUpClass()
        index = []
        small = "{kind='lstm_time',layers=1,units=4},{kind='lstm_notes',layers=1,units=4}"
        leaky = "model.blocks=[%s,{kind='attention_notes',heads=1,head_dim=2,mask='none'}]" % small
        for label, seeds, settings in (("attention first", (1, 2, 3), []), (HOSTILE, (1, 2, 3), ["model.blocks=[%s]" % small]), ("leaky", (1,), [leaky])):
            for seed in seeds:
                name = "r%d" % len(index)
                code, _, err = cls.call(RUN, "x.toml", "--out", "sweep", "name=" + name, "seed=%d" % seed, "train.epochs=4", "generate.bars=2", *settings)
                assert code == 0, err
                index.append({"id": name, "label": label, "seed": seed, "status": "finished", "autoregressive": label != "leaky",
                              "baseline": label == "attention first"})
        index.append({"id": "r7", "label": "leaky", "seed": 2, "status": "failed", "error": "signal 9 " + HOSTILE, "autoregressive": False})
        cls.write("sweep/index.jsonl", "".join(json.dumps(line) + "\n" for line in index))
        cls.write("sweep/sweep.toml", "# the sweep's own file\n")
        code, _, err = cls.call(POPH, "report", "sweep", environment=WITH_SOUND)
        assert code == 0, err
        cls.page = cls.folder / "sweep/report.html"
        cls.html = cls.page.read_text()


class Sweep(Reported):
    def test_what_the_page_says(self):
        for part in ("Sweep: 3 configurations, 7 of 8 runs finished", "The lowest validation loss", "autoregressive = false", "The sweep&#39;s file",
                     "# the sweep&#39;s own file", "failed: signal 9 &lt;script&gt;", "<pre>name = &quot;r0&quot;", "./run_experiment sweep/sweep.toml"):
            self.assertIn(part, self.html)
        run = json.loads((self.folder / "sweep/r0/run.json").read_text())
        for part in (run["revision"], run["device"], run["data"]["fingerprint"], "run_experiment x.toml --out sweep name=r0"):
            self.assertIn(part, self.html)

    def test_nothing_comes_from_elsewhere(self):
        without_data = re.sub(r'(src|href)="data:[^"]*"', "", self.html)
        self.assertEqual(re.findall(r'(?:src|href)="(?!#)[^"]*"', without_data), [])
        self.assertNotIn(HOSTILE, self.html)
        self.assertIn("default-src 'none'", self.html)

    def test_csv(self):
        with open(self.folder / "sweep/report.csv", newline="") as file:
            rows = list(csv.DictReader(file))
        self.assertEqual([row["configuration"] for row in rows], ["attention first", HOSTILE, "leaky"])
        with open(self.folder / "sweep/report_runs.csv", newline="") as file:
            runs = list(csv.DictReader(file))
        self.assertEqual([run["status"] for run in runs], ["finished"] * 7 + ["failed"])
        for row in rows:
            losses = [float(run["total"]) for run in runs if run["configuration"] == row["configuration"] and run["total"]]
            self.assertAlmostEqual(float(row["loss"]), sum(losses) / len(losses))
        best = [min(line["total"] for line in map(json.loads, (self.folder / "sweep" / run["run"] / "metrics.jsonl").read_text().splitlines())
                    if line["split"] == "valid") for run in runs[:7]]
        self.assertEqual([float(run["total"]) for run in runs[:7]], best)
        self.assertEqual((rows[2]["rank"], rows[2]["loss_p"], rows[1]["loss_difference_n"]), ("", "", "3"))
        self.assertEqual(sorted(row["rank"] for row in rows[:2]), ["1", "2"])
        pairs = [b - a for a, b in zip(best[:3], best[3:6])]
        self.assertAlmostEqual(float(rows[1]["loss_difference"]), sum(pairs) / 3)
        self.assertEqual(rows[0]["model.blocks"], "attention_notes heads=1 head_dim=2, lstm_time layers=1 units=4, lstm_notes layers=1 units=4")

    def test_compare(self):
        out = self.poph_ok("compare", "sweep", "--csv", "out.csv")
        self.assertRegex(out, r"(?m)^Configuration +model\.blocks$")
        self.assertRegex(out, r"(?m)^leaky +lstm_time .* mask=none$")
        # Too wide a table for a terminal is turned round.
        self.assertRegex(out, r"(?m)^Configuration +attention first baseline +<script>.*</script> +leaky autoregressive = false: sees its answers, not ranked$")
        self.assertRegex(out, r"(?m)^Rank +[12] +[12] +–$")
        self.assertRegex(out, r"(?m)^Validation loss +\d\.\d{4} ± \d\.\d{4}, n 3 +\d\.\d{4} ± \d\.\d{4}, n 3 +\d\.\d{4}$")
        self.assertEqual((self.folder / "out.csv").read_text(), (self.folder / "sweep/report.csv").read_text())
        out = self.poph_ok("compare", "sweep/r3", "sweep/r0")
        self.assertRegex(out, r"(?m)^Configuration +r3 baseline +r0$")
        self.assertRegex(out, r"(?m)^Difference +[+-]0\.\d{4}$")

    def test_refusals(self):
        self.refused(POPH, "report", "gone", message="poph: gone: no such folder")
        self.refused(POPH, "compare", "music", message="music holds no run: expected config.toml or run.json")
        self.refused(POPH, "compare", message="RUN is required", code=2)

    def test_without_a_sound_font_the_page_says_how_to_get_one(self):
        shutil.copytree(self.folder / "sweep/r0", self.folder / "alone/r0")
        shutil.rmtree(self.folder / "alone/r0/audio", ignore_errors=True)
        self.poph_ok("report", "alone/r0")
        html = (self.folder / "alone/r0/report.html").read_text()
        self.assertIn("The pieces cannot be heard here: ", html)
        self.assertNotIn("<audio", html)
        self.poph_ok("report", "alone/r0", environment={"PATH": "/nowhere"})
        self.assertRegex((self.folder / "alone/r0/report.html").read_text(), "fluidsynth is not installed .*apt-get install fluidsynth")


@unittest.skipUnless(browser.PROGRAM, "no chromium here (Debian: apt-get install chromium)")
class Page(Reported):
    """The same page in headless Chromium."""

    @classmethod
    def setUpClass(cls):
        super().setUpClass()
        cls.chromium = browser.Browser().__enter__()
        cls.addClassCleanup(cls.chromium.__exit__)

    def opened(self, **options):
        self.chromium.open(self.page, **options)
        return self.chromium

    def test_loads_alone_and_in_silence(self):
        page = self.opened()
        page.run("document.querySelectorAll('button').forEach(button => button.click())")
        page.run("document.querySelectorAll('details').forEach(one => one.open = true)")
        self.assertEqual(page.complaints(), [])
        self.assertEqual(page.requests(), [self.page.absolute().as_uri()])
        self.assertIn(HOSTILE, page.run("document.body.innerText"))
        with self.assertRaises(RuntimeError):  # proof that an error in the page would be seen
            page.run("nothing.there")
        page.run("console.error('seen'); new Image().src = 'http://localhost:9/'; 0")
        self.assertTrue(page.complaints())

    def test_pieces_open_on_the_page_of_poph_play(self):
        page = self.opened()
        links = page.run("""[...document.querySelectorAll(".player a[href^='http://127.0.0.1:7674/open#']")].map(one => [one.href.split('#')[1],
            one.previousElementSibling.href.split(',')[1]])""")
        self.assertEqual(len(links), page.run("document.querySelectorAll(\".player a[download$='.mid']\").length"))
        self.assertTrue(links)
        for sent, kept in links:
            self.assertEqual(sent, kept)
            self.assertTrue(base64.b64decode(sent).startswith(b"MThd"))

    def test_tables_sort_by_click_and_by_key(self):
        page = self.opened()
        first_column = "[...document.querySelector('#results table').tBodies[0].rows].map(row => row.cells[0].firstChild.nextSibling.textContent.trim())"
        losses = "[...document.querySelector('#results table').tBodies[0].rows].map(row => Number(row.cells[%d].dataset.value))"
        column = page.run("[...document.querySelector('#results table').tHead.rows[0].cells].findIndex(cell => cell.textContent === 'Validation loss')")
        press = "document.querySelector('#results table').tHead.rows[0].cells[%d].querySelector('button')" % column
        page.run(press + ".click()")
        up = page.run(losses % column)
        self.assertEqual(up[:2], sorted(up[:2]))
        self.assertEqual(page.run(first_column)[2], "leaky")  # at the end, though its loss is not the highest
        page.run(press + ".focus()")
        for kind in ("keyDown", "keyUp"):
            page.ask("Input.dispatchKeyEvent", type=kind, key="Enter", code="Enter", windowsVirtualKeyCode=13, text="\r")
        self.assertEqual(page.run(losses % column)[:2], up[1::-1])
        self.assertEqual(page.run(first_column)[2], "leaky")
        self.assertEqual(page.run(press + ".parentNode.getAttribute('aria-sort')"), "descending")

    def test_charts(self):
        page = self.opened()
        charts = page.run("[...document.querySelectorAll('figure.chart')].map(one => [one.dataset.part, one.querySelectorAll('.curve').length, one.querySelectorAll('.band').length])")
        names = [chart[0] for chart in charts]
        self.assertEqual((names[0], names[-1]), ("total", "learning_rate"))
        self.assertEqual(set(names[:-1]), loss_parts(self.folder / "sweep/r0"))
        self.assertEqual([chart[1:] for chart in charts], [[3, 3]] * len(names))
        self.assertTrue(page.run("[...document.querySelectorAll('.curve')].every(curve => curve.getBBox().width > 50)"))
        # The reading is the number in the table behind the chart.
        page.run("document.querySelector('figure.chart svg').focus()")
        for _ in range(3):
            for kind in ("keyDown", "keyUp"):
                page.ask("Input.dispatchKeyEvent", type=kind, key="ArrowRight", code="ArrowRight", windowsVirtualKeyCode=39)
        reading = page.run("document.querySelector('figure.chart output').textContent")
        self.assertRegex(reading, r"^epoch 3: attention first: 0\.\d+ \(0\.\d+ to 0\.\d+, n 3\)")
        table = page.run("Number(document.querySelectorAll('figure.chart table')[0].tBodies[0].rows[2].cells[1].dataset.value)")
        self.assertAlmostEqual(float(re.search(r"attention first: (\S+)", reading).group(1)), table, places=3)
        # Zoom: the axis shows less; "all" brings it back.
        ticks = "document.querySelector('figure.chart svg g').textContent"
        before = page.run(ticks)
        page.run("document.querySelector('[data-zoom=in]').click(); document.querySelector('[data-zoom=in]').click()")
        self.assertNotEqual(page.run(ticks), before)
        page.run("document.querySelector('[data-zoom=all]').click()")
        self.assertEqual(page.run(ticks), before)
        path = "document.querySelector('.curve').getAttribute('d')"
        valid = page.run(path)
        page.run("document.querySelector('input[name=split][value=train]').click()")
        self.assertNotEqual(page.run(path), valid)
        page.run("document.querySelector('input[name=series]').click()")
        self.assertEqual(page.run("document.querySelectorAll('.curve').length"), 12)

    def test_hover(self):
        page = self.opened()
        box = page.run("(() => { const svg = document.querySelector('figure.chart svg'); svg.scrollIntoView(); const b = svg.getBoundingClientRect(); return [b.x, b.y, b.width, b.height]; })()")
        page.ask("Input.dispatchMouseEvent", type="mouseMoved", x=box[0] + box[2] - 14, y=box[1] + box[3] / 2)
        self.assertRegex(page.run("document.querySelector('figure.chart output').textContent"), "^epoch 4: ")

    def test_pictures_and_midi(self):
        page = self.opened()
        sizes = page.run("[...document.images].map(image => [image.naturalWidth, image.naturalHeight, image.getBoundingClientRect().width])")
        self.assertEqual(len(sizes), 3)  # a piece of each configuration's first seed
        for width, height, shown in sizes:
            self.assertGreater(width, 100)
            self.assertGreater(height, 50)
            self.assertEqual(shown, width)
        midi = page.run("[...document.querySelectorAll('a[download]')].map(link => atob(link.href.split(',')[1]).slice(0, 4))")
        self.assertEqual(midi, ["MThd"] * 3)
        self.assertTrue(all(name.endswith("-seed1-piece1.mid") for name in page.run("[...document.querySelectorAll('a[download]')].map(link => link.download)")))

    @unittest.skipUnless(CAN_PLAY, "no fluidsynth or no sound font here")
    def test_sound_plays(self):
        page = self.opened()
        self.assertEqual(page.run("document.querySelectorAll('audio').length"), 3)
        played = page.run("""(async () => {
            const audio = document.querySelector("audio"), started = performance.now();
            await audio.play();
            while (performance.now() < started + 20000 && !(audio.currentTime > 0.3 && isFinite(audio.duration))) await new Promise(done => setTimeout(done, 50));
            return [audio.currentTime, audio.duration];
        })()""")
        self.assertGreater(played[0], 0.3)
        self.assertGreater(played[1] or 0, 2)  # two bars and their echo
        self.assertGreater(page.run("parseFloat(document.querySelector('.playhead').style.left)"), 34)
        page.run("document.querySelectorAll('audio')[1].play()")
        self.assertTrue(page.run("document.querySelector('audio').paused"))

    def test_a_phone_scrolls_down_alone(self):
        for dark in (False, True):
            page = self.opened(width=390, height=844, dark=dark)
            self.assertLessEqual(page.run("document.documentElement.scrollWidth"), 390)
            colours = page.run("[getComputedStyle(document.body).backgroundColor, getComputedStyle(document.body).color]")
            brightness = [sum(map(int, re.findall(r"\d+", colour)[:3])) for colour in colours]
            self.assertEqual(brightness[0] < brightness[1], dark)

    def test_without_scripts_the_numbers_are_there(self):
        page = self.opened(scripts=False)
        root = page.ask("DOM.getDocument", depth=-1)["root"]["nodeId"]
        self.assertTrue(page.ask("DOM.querySelector", nodeId=root, selector="noscript p")["nodeId"])  # shown, not merely text
        with open(self.folder / "sweep/report.csv", newline="") as file:
            loss = next(csv.DictReader(file))["loss"]
        for selector, there in (("#results td[data-value='%s']" % loss, True), ("figure.chart td[data-value]", True), (".curve", False), ("th button", False)):
            self.assertEqual(bool(page.ask("DOM.querySelector", nodeId=root, selector=selector)["nodeId"]), there, selector)


class OneRun(Case):
    def test_a_run_ends_with_its_report(self):
        out = self.run_ok("x.toml")
        html = (self.folder / "runs/x/report.html").read_text()
        self.assertIn("one run, finished", html)
        self.assertRegex(out, r"(?m)^report: runs/x/report\.html$")
        key = json.loads((self.folder / "runs/x/run.json").read_text())["measures"]["pieces"][0]["keys"]["krumhansl"]["key"]
        self.assertIn("x, piece 1: %s</text>" % key, (self.folder / "runs/x/samples/piece_1.svg").read_text())
        self.assertIn("x, seed 3, piece 1", html)
        self.assertIn("%s (r 0." % key, html)

    def test_samples_under_conditions(self):
        self.write("tune.mid", melody(40))
        out = self.run_ok("x.toml", "name=asked", "generate.bars=2", "generate.pieces=2", "generate.melody=tune.mid", "generate.most_notes=3", "generate.particles=4")
        self.assertRegex(out, r"(?m)^melody: .*tune\.mid: it has 3 bars, and the last 1 are beyond the 2 that are composed$")
        condition = json.loads((self.folder / "runs/asked/run.json").read_text())["condition"]
        self.assertEqual((condition["text"], condition["particles"], len(condition["pieces"])), ("melody tune.mid, at most 3 notes at once", 4, 2))
        html = (self.folder / "runs/asked/report.html").read_text()
        self.assertIn("Composed under conditions: melody tune.mid, at most 3 notes at once. ", html)
        for number, piece in enumerate(condition["pieces"], 1):
            words = "log probability %.1f, effective size at least %.1f of 4 particles, resampled %d time" % (
                piece["log_probability"], piece["smallest_effective_size"], piece["resampled"])
            self.assertIn("condition of piece %d: %s" % (number, words), out)
            self.assertIn("the condition: " + words, html)
        out = self.run_ok("x.toml", "name=asked", "generate.bars=2")  # other samples for the same run
        self.assertNotIn("condition", json.loads((self.folder / "runs/asked/run.json").read_text()))
        self.assertNotIn("condition of piece", out)
        self.assertNotIn("under conditions", (self.folder / "runs/asked/report.html").read_text())

    def test_people_listen_first(self):
        self.run_ok("x.toml", "name=heard")
        html = (self.folder / "runs/heard/report.html").read_text()
        for form in ('<section id="%s">', '<a href="#%s">'):
            places = [html.index(form % part) for part in ("results", "samples", "curves", "measures", "repeat")]
            self.assertEqual(places, sorted(places))

    def test_a_report_that_cannot_be_written_is_said_and_ends_nothing(self):
        (self.folder / "runs/y/report.html").mkdir(parents=True)
        (self.folder / "runs/y/run.lock").touch()
        out = self.run_ok("x.toml", "name=y")
        self.assertRegex(out, r"(?m)^the report could not be written: .*poph report runs/y tries again$")
        self.assertEqual(self.status("runs/y"), "finished")
