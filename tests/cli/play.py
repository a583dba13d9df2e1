"""`poph play`: beside `poph generate`, and its protocol against strangers."""
import base64
import http.client
import json
import os
import re
import signal
import socket
import time
import unittest
from pathlib import Path

from served import NO_DESKTOP, SMALL, Commanded, Served
from support import CAN_PLAY, POPH, RUN, SANITIZED, SOURCE, Case, melody

TUNE = [[67, 0, 4, 80], [66, 4, 4, 80], [64, 8, 4, 80], [62, 12, 4, 80], [67, 16, 4, 80], [69, 20, 4, 80], [71, 24, 8, 80]]
MAX_THREADS = 32 + 3  # that serve connections; and the program's own, beside those of OpenMP and the matrix library
PATIENCE = 60 if SANITIZED else 5


class Same(Commanded):
    """What the page composes is what `poph generate` does."""

    def test_note_for_note(self):
        given = {"notes": TUNE, "meters": [[0, 4, 4]]}
        for request in ({**given, "melody": True}, {**given, "bass": True, "scale": "D major", "temperature": 0.9, "tempo": 90.5},
                        {**given, "melody": True, "keep_bars": "2", "seed": 6}, {**given, "before": True, "bars": 1, "most_notes": 0},
                        {"meters": [[0, 3, 4]]}, {"notes": [[67, 0, 6, 80], [64, 6, 6, 90]], "meters": [[0, 3, 4]], "melody": True}):
            take = self.compose(**{**SMALL, **request})
            self.assertIn("done", take, take)
            self.assertEqual(base64.b64decode(take["done"]["midi"]), self.generated(take), request)

    def test_likelihood_and_notes_are_those_of_the_piece(self):
        answer = self.begin(**SMALL, notes=TUNE, melody=True)
        events = self.events(answer)
        take, steps = dict(events), []
        for name, data in events:
            if name == "step":
                self.assertLessEqual(data["changed"], len(steps))
                settled = data["settled"]
                steps = steps[:data["changed"]] + data["fresh"]
                self.assertEqual(len(steps), data["steps"])
        self.assertEqual((len(steps), settled), (32, 32))
        midi = base64.b64decode(take["done"]["midi"])
        found = self.poph_json("evaluate", "chorales", "--data", self.write("piece.mid", midi))["log_likelihood"]
        self.assertAlmostEqual(take["done"]["log_likelihood"] / 32, found["nats_per_step"], 4)
        self.assertAlmostEqual(sum(step[0] for step in steps), take["done"]["log_likelihood"], 2)
        sounding = [(pitch, step) for pitch, begin, length, _ in take["done"]["notes"] for step in range(begin, begin + length)]
        self.assertEqual(sorted((cell[0], at) for at, (_, cells) in enumerate(steps) for cell in cells), sorted(sounding))
        given = {(pitch, step) for pitch, begin, length, _ in TUNE for step in range(begin, begin + length)}
        self.assertEqual({(cell[0], at) for at, (_, cells) in enumerate(steps) for cell in cells if cell[4]}, given)
        self.assertTrue(all(0 < cell[3] <= 1 for _, cells in steps for cell in cells))
        self.assertIn("copies", take)

    def test_stop_keeps_what_is_there(self):
        answer = self.begin(bars=256, particles=2, notes=TUNE, melody=True)
        take = self.events(answer, "step")[0][1]["take"]
        self.assertEqual(self.ask("POST", "stop", str(take))[2], b"true")
        done = dict(self.events(answer))["done"]
        self.assertTrue(done["cut"])
        self.assertTrue(0 < done["steps"] < 4096)
        self.assertTrue(base64.b64decode(done["midi"]).startswith(b"MThd"))
        self.assertEqual(self.ask("POST", "stop", "12345")[2], b"false")

    def test_music_comes_in(self):
        midi = (SOURCE / "data/corpus/bourgeois_old_hundredth.mid").read_bytes()
        piece = json.loads(self.ask("POST", "read", midi)[2])
        self.assertEqual(piece, json.loads(self.ask("GET", "piece?name=bourgeois_old_hundredth")[2]))
        self.assertEqual((piece["steps"], piece["notes"][0]), (192, [43, 0, 8, 68]))
        for name in ("../corpus/bourgeois_old_hundredth", "/etc/passwd", ""):
            self.said(400, "GET", "piece?name=" + name)
        self.assertIn("This is no MIDI file", self.said(400, "POST", "read", b"no music"))
        back = self.ask("POST", "midi", json.dumps({"notes": TUNE}))[2]
        self.assertEqual(json.loads(self.ask("POST", "read", back)[2])["notes"], TUNE)

    @unittest.skipUnless(CAN_PLAY, "no FluidSynth here")
    def test_sound(self):
        self.assertTrue(self.ask("POST", "sound", json.dumps({"notes": TUNE}))[2].startswith(b"OggS"))


class Mixed(Commanded):
    """The same of a model of styles, which somebody trained here."""
    model = "runs/styles"

    @classmethod
    def prepare(cls):
        for i in range(4):
            cls.write("more/%d.mid" % i, melody(40 + 8 * i, 20 + i))
        styles = 'styles = [{ name = "up", source = "music" }, { name = "the \'down\' one", source = "more" }]\nstyle_units = 3\n'
        cls.write("styles.toml", cls.experiment.read_text().replace("[train]", styles + "[train]").replace("epochs = 2", "epochs = 1"))
        code, _, err = cls.call(RUN, "styles.toml", "--quiet")
        assert code == 0, err

    def test_shares_of_styles(self):
        told = json.loads(self.ask("GET", "model")[2])
        self.assertEqual((told["styles"], told["lowest_note"], told["notes"]), (["up", "the 'down' one"], 60, 12))
        pieces = [self.compose(bars=2, seed=1, style=style) for style in ({"up": 0.25, "the 'down' one": 0.75}, {"up": 1}, {})]
        for take in pieces:
            self.assertEqual(base64.b64decode(take["done"]["midi"]), self.generated(take))
            self.assertEqual(take["copies"]["among"], "the pieces in %s, %s" % (self.folder / "music", self.folder / "more"))
        self.assertEqual(len({take["done"]["log_likelihood"] for take in pieces}), 3)
        self.assertRegex(self.compose(style={"up": 0.5})["failed"]["message"], "sum")


class Strangers(Served):
    """Who may ask, for how much, and what those cost who only connect."""

    def test_the_token_the_host_and_the_origin(self):
        here = "127.0.0.1:%d" % self.port
        self.assertEqual(self.ask("GET", "", headers={"Host": here, "Origin": "http://" + here, "Sec-Fetch-Site": "same-origin"})[0], 200)
        self.assertEqual(self.ask("GET", "", headers={"Host": "localhost:%d" % self.port})[0], 200)
        for token in ("", "0" * 32, self.token[:-1], self.token + "0", self.token[:-1] + "x"):
            for method, path in (("GET", ""), ("GET", "model"), ("POST", "compose"), ("GET", "main.js")):
                self.assertIn("address", self.said(403, method, path, "{}" if method == "POST" else None, at=token))
        for host in ("evil.example", "evil.example:%d" % self.port, "127.0.0.1", here + ".evil.example", ""):
            self.said(403, "POST", "compose", "{}", headers={"Host": host})
        for origin in ("http://evil.example", "null", "http://127.0.0.1", "https://" + here, "http://%s.evil.example" % here):
            self.said(403, "POST", "compose", "{}", headers={"Origin": origin})
        for site in ("cross-site", "same-site"):
            self.said(403, "GET", "model", headers={"Sec-Fetch-Site": site})
        self.said(415, "POST", "compose", "{}", headers={"Content-Encoding": "gzip"})

    def test_only_this_machine(self):
        listening = [line.split() for name in ("tcp", "tcp6") for line in Path("/proc/%d/net/%s" % (self.process.pid, name)).read_text().splitlines()[1:]]
        here = [line[1] for line in listening if line[3] == "0A" and line[1].endswith(":%04X" % self.port)]
        self.assertEqual(here, ["0100007F:%04X" % self.port])

    def test_nothing_comes_from_elsewhere(self):
        page = self.ask("GET", "")[2].decode()
        names = set(re.findall(r'(?:src|href)="([^"#][^"]*)"', page)) - {"data:,"}
        self.assertEqual(names, {"style.css", "d3.js", "main.js"})
        self.assertNotRegex(page, r"<[^>]* (style|on\w+)=")  # the policy refuses them
        for name in ("", *names, "roll.js", "sound.js"):
            status, headers, body = self.ask("GET", name)
            self.assertEqual(status, 200)
            self.assertIn("default-src 'none'; script-src 'self'; style-src 'self';", headers["Content-Security-Policy"])
            self.assertNotIn("unsafe", headers["Content-Security-Policy"])
            self.assertEqual((headers["X-Content-Type-Options"], headers["Referrer-Policy"]), ("nosniff", "no-referrer"))
            if name != "d3.js":
                self.assertEqual(set(re.findall(rb"https?://[\w./]+", body)) - {b"http://www.w3.org/2000/svg"}, set())
        self.said(404, "GET", "nothing")
        self.assertNotIn(self.token.encode(), self.ask("GET", "", at="open")[2])  # the one address without a token

    def test_bounds(self):
        for request, message in (({"bars": 257}, "Bars: found 257, expected a whole number from 1 to 256"), ({"particles": 257}, "Particles: "), ({"bars": 1.5}, "Bars: "),
                                 ({"temperature": 0}, "Temperature: "), ({"seed": 1e300}, "Seed: "), ({"notes": [[60, 0, 1]]}, "Notes: "),
                                 ({"notes": [[60, 8000, 200, 80]]}, "length"), ({"notes": [[60, 0, 1, 80]] * 16385}, "16384"), ({"out": "x"}, "out"),
                                 ({"meters": [[0, 3, 5]]}, "denominator"), ({"scale": "x" * 201}, "200")):
            self.assertIn(message, self.said(400, "POST", "compose", json.dumps(request)))
        for body in ("", "[]", "{", "[" * 100000, '{"bars":' * 1000, "\xff"):
            self.assertIn("not a JSON object", self.said(400, "POST", "compose", body.encode("latin-1")))
        self.said(413, "POST", "compose", b" " * (1 << 20) + b"{}")
        self.said(400, "POST", "read", b" " * (1 << 20))
        # What the request cannot know by itself is told by the stream.
        for request, message in (({"scale": "H minor"}, "scale"), ({"melody": True}, "No notes are drawn"), ({"notes": [[0, 0, 1, 80]], "melody": True}, "the model plays from 31 to 86"),
                                 ({"notes": TUNE, "keep_bars": "3", "bars": 4}, "Bar"), ({"notes": TUNE, "keep_bars": "x"}, "bars such as"), ({"style": {"bach": 1}}, "styles"),
                                 ({"notes": TUNE, "melody": True, "scale": "C major"}, "scale C major"), ({"bars": 256, "meters": [[0, 255, 1]]}, "8192")):
            take = self.compose(**request)
            self.assertIn(message, take["failed"]["message"].replace("bar 3", "Bar 3"))
            self.assertNotIn("generate.", take["failed"]["message"])

    def test_one_at_a_time_and_few_wait(self):
        long = [self.begin(bars=256, particles=8, notes=TUNE, melody=True)]
        self.events(long[0], "step")
        waiting = [self.begin(bars=256) for _ in range(4)]
        self.assertEqual([self.events(one, "waiting")[0][1]["before"] for one in waiting], [1, 2, 3, 4])
        refused = self.begin()
        self.assertEqual((refused.status, refused.message.split(":")[0]), (429, "4 takes wait already"))
        # Their pages go away: none of the five is composed to its end, which would take minutes.
        begun = time.monotonic()
        for one in [refused, *waiting, *long]:
            one.close()
            one.connection.close()
        while True:
            answer = self.begin(**SMALL)
            if answer.status == 200:
                break
            time.sleep(0.05)
        self.assertIn("done", dict(self.events(answer)))
        self.assertLess(time.monotonic() - begun, PATIENCE)

    def test_a_thousand_who_stall(self):
        words = lambda: dict(line.split(":", 1) for line in Path("/proc/%d/status" % self.process.pid).read_text().splitlines())
        self.compose(**SMALL)
        before = words()
        half = ("POST /%s/compose HTTP/1.1\r\nHost: 127.0.0.1:%d\r\nContent-Length: 1000\r\n" % (self.token, self.port)).encode()
        stalled = []
        for i in range(1000):
            one = socket.create_connection(("127.0.0.1", self.port), timeout=20)
            one.sendall((b"", b"GET / HTTP", half, b"x" * 3000)[i % 4])
            stalled.append(one)
        begun = time.monotonic()
        self.assertIn("done", self.compose(**SMALL))
        self.assertEqual(self.ask("GET", "model")[0], 200)
        self.assertLess(time.monotonic() - begun, PATIENCE)
        after = words()
        cores = os.cpu_count()
        self.assertLessEqual(int(after["Threads"]), MAX_THREADS + 3 * cores)
        self.assertEqual(after["Threads"], before["Threads"])
        if not SANITIZED:
            self.assertLess(int(after["VmRSS"].split()[0]) - int(before["VmRSS"].split()[0]), 32 << 10)
        self.assertLess(len(os.listdir("/proc/%d/fd" % self.process.pid)), 100)
        # One that goes on sending its head is cut off, too.
        with socket.create_connection(("127.0.0.1", self.port), timeout=20) as endless:
            try:
                for _ in range(2500):
                    endless.sendall(b"GET / HTTP/1.1\r\n" + b"A: " + b"b" * 4000 + b"\r\n")
            except OSError:
                endless = None
        self.assertIsNone(endless)
        for one in stalled:
            one.close()


class Ends(Case):
    def started(self, *words):
        process = self.start(POPH, "play", "chorales", "--no-browser", *words, environment=NO_DESKTOP)
        self.addCleanup(process.communicate)
        self.addCleanup(process.kill)
        return process, process.stdout.readline().decode()

    def test_ctrl_c_ends_it_while_it_composes(self):
        process, line = self.started("--port", "0")
        port, token = re.search(r":(\d+)/(\w+)/", line).groups()
        idle = socket.create_connection(("127.0.0.1", int(port)))
        connection = http.client.HTTPConnection("127.0.0.1", int(port), timeout=60)
        connection.request("POST", "/%s/compose" % token, json.dumps({"bars": 256, "notes": TUNE, "melody": True}))
        answer = connection.getresponse()  # held: without it the page would have gone away
        self.assertIn("step", [name for name, _ in Served.events(answer, "step")])
        process.send_signal(signal.SIGINT)
        begun = time.monotonic()
        self.assertEqual(process.communicate(timeout=60)[1], b"")
        self.assertEqual(process.returncode, 0)
        self.assertLess(time.monotonic() - begun, PATIENCE)
        for one in (idle, answer, connection):
            one.close()

    def test_threads_are_those_that_are_asked_for(self):
        def used(threads):
            process, line = self.started("--port", "0", "--threads", str(threads))
            port, token = re.search(r":(\d+)/(\w+)/", line).groups()
            connection = http.client.HTTPConnection("127.0.0.1", int(port), timeout=60)
            connection.request("POST", "/%s/compose" % token, json.dumps(SMALL))
            self.assertIn("done", dict(Served.events(connection.getresponse())))
            return len(os.listdir("/proc/%d/task" % process.pid))
        # OpenMP's, of the thread that opens the model and of the one that composes.
        self.assertGreaterEqual(used(3) - used(1), 4)

    def test_a_port_that_is_taken(self):
        with socket.create_server(("127.0.0.1", 0)) as taken:
            port = taken.getsockname()[1]
            self.refused(POPH, "play", "chorales", "--no-browser", "--port", str(port), message="--port %d: another program listens there" % port)
        first, second = self.started(), self.started()  # the usual port, and another one
        self.assertNotEqual(first[1], second[1])
        self.assertTrue(first[1].startswith("open http://127.0.0.1:"))

    def test_refusals(self):
        self.refused(POPH, "play", "gone", "--no-browser", message="gone: no such run and no such file; the models that come with PopH are chorales, jsb")
        self.refused(POPH, "play", "chorales", "train.epochs=3", message="train.epochs=3: changes nothing here")
