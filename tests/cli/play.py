"""The page of `poph play`: its protocol against strangers and beside `poph generate`, and the page itself in a browser."""
import base64
import http.client
import json
import os
import re
import shlex
import shutil
import signal
import socket
import time
import unittest
from pathlib import Path

import browser
from support import CAN_PLAY, POPH, RUN, SANITIZED, SOURCE, WITH_SOUND, Case, melody

TUNE = [[67, 0, 4, 80], [66, 4, 4, 80], [64, 8, 4, 80], [62, 12, 4, 80], [67, 16, 4, 80], [69, 20, 4, 80], [71, 24, 8, 80]]
SMALL = {"bars": 2, "particles": 4, "most_notes": 4, "seed": 5}
NO_DESKTOP = {"DISPLAY": "", "WAYLAND_DISPLAY": ""}
MAX_THREADS = 32 + 3  # that serve connections; and the program's own, beside those of OpenMP and the matrix library
PATIENCE = 60 if SANITIZED else 5


class Served(Case):
    """A page of its own for each class of cases."""
    model = "chorales"

    @classmethod
    def prepare(cls):
        """Makes the model, where it is not one that is there."""

    @classmethod
    def setUpClass(cls):
        super().setUpClass()
        cls.prepare()
        cls.process = cls.start(POPH, "play", cls.model, "--port", "0", "--no-browser", environment={**NO_DESKTOP, **WITH_SOUND})
        cls.addClassCleanup(cls.end)
        cls.address = re.fullmatch(r"open (http://127\.0\.0\.1:\d+/[0-9a-f]{32}/) in .*\n", cls.process.stdout.readline().decode())[1]
        cls.port, cls.token = int(cls.address.split(":")[2].split("/")[0]), cls.address.split("/")[3]

    @classmethod
    def end(cls):
        if cls.process.poll() is None:
            cls.process.send_signal(signal.SIGINT)
        cls.process.communicate(timeout=60)

    def ask(self, method, path, body=None, headers=(), at=None):
        """(status, headers, body)"""
        connection = http.client.HTTPConnection("127.0.0.1", self.port, timeout=60)
        try:
            connection.request(method, "/%s/%s" % (self.token if at is None else at, path), body, dict(headers))
            answer = connection.getresponse()
            return answer.status, dict(answer.getheaders()), answer.read()
        finally:
            connection.close()

    def said(self, status, *words, **options):
        """The sentence of a refusal."""
        found, _, body = self.ask(*words, **options)
        self.assertEqual(found, status, body)
        message = json.loads(body)["message"]
        self.assertRegex(message, r"\A[^\n]+\Z")
        self.assertNotIn("generate.", message)
        return message

    def begin(self, **request):
        """A take that is being composed: the answer, as it comes."""
        connection = http.client.HTTPConnection("127.0.0.1", self.port, timeout=60)
        connection.request("POST", "/%s/compose" % self.token, json.dumps(request))
        answer = connection.getresponse()
        if answer.status != 200:
            answer.message = json.loads(answer.read())["message"]
        answer.connection = connection
        return answer

    @staticmethod
    def events(answer, until=None):
        """[(event, data)] up to and with the event `until`."""
        found, name = [], ""
        for line in answer:
            if line.startswith(b"event: "):
                name = line[7:-1].decode()
            if line.startswith(b"data: "):
                found.append((name, json.loads(line[6:])))
                if name == until:
                    break
        return found

    def compose(self, **request):
        """{event: its last data} of a take."""
        answer = self.begin(**request)
        self.assertEqual(answer.status, 200, getattr(answer, "message", ""))
        return dict(self.events(answer))


class Commanded(Served):
    def generated(self, take):
        """The piece by the command that the page shows."""
        if take["begin"]["given"]:
            self.write("given.mid", base64.b64decode(take["begin"]["given"]))
        words = shlex.split(take["begin"]["command"])
        self.assertEqual(words[:3], ["build/poph", "generate", self.model])
        told = self.poph_json(*words[1:], "--out", "by command", "--force", "--copies")
        # What the page shows of a piece beside its notes is told there, too.
        self.assertEqual(told["pieces"][0]["copied"], take["copies"])
        self.assertAlmostEqual(sum(step[0] for step in told["steps_of_piece_1"]), take["done"]["log_likelihood"], 1)
        return (self.folder / "by command/piece_1.mid").read_bytes()


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
            self.assertEqual(take["copies"]["among"], "the pieces that the model learnt from")
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


@unittest.skipUnless(browser.PROGRAM, "no chromium here (Debian: apt-get install chromium)")
class Page(Served):
    """The page in headless Chromium."""

    @classmethod
    def setUpClass(cls):
        super().setUpClass()
        cls.page = browser.Browser().__enter__()
        cls.addClassCleanup(cls.page.__exit__)
        cls.page.ask("Page.setDownloadBehavior", behavior="allow", downloadPath=str(cls.folder))

    def opened(self, **options):
        self.page.visit("about:blank")
        self.page.visit(self.address, **options)
        self.wait("document.body.dataset.ready === 'yes'")
        self.page.run("for (const [name, value] of [['bars', 4], ['particles', 4]]) { const input = document.getElementById('settings')[name]; input.value = value; "
                      "input.dispatchEvent(new Event('change')); } 0")
        return self.page

    def wait(self, expression, seconds=20):
        until = time.monotonic() + seconds
        while not (value := self.page.run(expression)):
            self.assertLess(time.monotonic(), until, "%s; the page says %r" % (expression, self.page.run("document.body.innerText")[:2000]))
            time.sleep(0.02)
        return value

    def press(self, name):
        self.page.run("document.getElementById('%s').click(); 0" % name)

    def problem(self):
        return self.page.run("document.getElementById('problem').hidden ? '' : document.getElementById('problem').textContent")

    def notes(self):
        """(pitch, step, length)"""
        return sorted(map(tuple, self.page.run("poph.music.notes.map(note => [note.pitch, note.step, note.length])")))

    def mouse(self, kind, pitch, step, touch=False):
        x, y = self.page.run("(() => { const roll = document.getElementById('roll'), box = document.getElementById('scroller'); "
                             "box.scrollTop = (86 - %d) * 11 - 100; const at = roll.getBoundingClientRect(); "
                             "return [at.left + 44 + 16 * %f, at.top + (86 - %d + .5) * 11]; })()" % (pitch, step, pitch))
        self.page.ask("Input.dispatchMouseEvent", type=kind, x=x, y=y, button="left", buttons=int(kind != "mouseReleased"), clickCount=1)

    def draw(self, pitch, step, length):
        self.mouse("mousePressed", pitch, step + .5)
        self.mouse("mouseMoved", pitch, step + length - .5)
        self.mouse("mouseReleased", pitch, step + length - .5)

    def key(self, key, shift=False, alt=False):
        codes = {"ArrowLeft": 37, "ArrowUp": 38, "ArrowRight": 39, "ArrowDown": 40, "Enter": 13, "Delete": 46}
        for kind in ("keyDown", "keyUp"):
            self.page.ask("Input.dispatchKeyEvent", type=kind, key=key, code=key, windowsVirtualKeyCode=codes[key], modifiers=8 * shift + alt)

    def downloaded(self, button, name):
        path = self.folder / name
        path.unlink(missing_ok=True)
        self.press(button)
        until = time.monotonic() + 20
        while not path.exists() or not path.stat().st_size:
            self.assertLess(time.monotonic(), until, self.problem())
            time.sleep(0.02)
        return path.read_bytes()

    def composed(self):
        self.wait("!poph.composing()")
        self.assertEqual(self.problem(), "")
        return self.notes()

    def test_draw_harmonise_hear_fill_undo_download(self):
        page = self.opened()
        for at, pitch in enumerate((67, 69, 71, 72, 71, 69, 67, 67)):
            self.draw(pitch, 8 * at, 8)
        tune = self.notes()
        self.assertEqual(tune, sorted((pitch, 8 * at, 8) for at, pitch in enumerate((67, 69, 71, 72, 71, 69, 67, 67))))
        self.press("harmonise")
        heard = self.wait("performance.getEntriesByName('heard')[0]?.startTime - performance.getEntriesByName('asked')[0].startTime")
        self.assertLess(heard, 1000)
        self.wait("poph.loudness() > .001")
        harmonised = self.composed()
        self.assertGreater(len(harmonised), len(tune))
        top = {step: max(pitch for pitch, begin, length in harmonised if begin <= step < begin + length) for step in range(64)}
        self.assertEqual(top, {step: pitch for pitch, begin, length in tune for step in range(begin, begin + length)})
        for bar in (2, 3):
            page.run("document.querySelectorAll('#bars button')[%d].click(); 0" % bar)
        self.assertEqual(page.run("document.querySelectorAll('#bars button')[2].getAttribute('aria-pressed')"), "true")
        self.press("fill")
        filled = self.composed()
        inside = lambda notes: [note for note in notes if note[1] + note[2] <= 32]
        self.assertEqual(inside(filled), inside(harmonised))
        self.assertNotEqual(filled, harmonised)
        self.assertEqual(page.run("document.querySelectorAll('.take').length"), 2)
        self.wait("[...document.querySelectorAll('.take dd')].every(one => one.textContent !== '..')")
        self.assertGreater(page.run("document.querySelector('#curve .line').getAttribute('d')").count("L"), 60)
        self.press("undo")
        self.assertEqual(self.notes(), harmonised)
        page.run("document.querySelector('.take button').click(); 0")  # the last take is kept
        self.assertEqual(self.notes(), filled)
        midi = self.downloaded("midi", "take_2.mid")
        self.write("given.mid", base64.b64decode(page.run("document.getElementById('given').getAttribute('href').split(',')[1]")))
        words = shlex.split(page.run("document.getElementById('command').textContent"))
        self.poph_ok(*words[1:], "--out", "by command", "--force")
        self.assertEqual(midi, (self.folder / "by command/piece_1.mid").read_bytes())
        self.assertEqual(page.complaints(), [])
        self.assertEqual({one.split("/")[2] for one in page.requests() if not one.startswith("blob:")}, {"127.0.0.1:%d" % self.port})

    def test_notes_are_moved_lengthened_and_erased(self):
        page = self.opened()
        self.draw(67, 4, 4)
        self.mouse("mousePressed", 67, 5), self.mouse("mouseMoved", 69, 9), self.mouse("mouseReleased", 69, 9)
        self.assertEqual(self.notes(), [(69, 8, 4)])
        self.mouse("mousePressed", 69, 11.9), self.mouse("mouseMoved", 69, 13.9), self.mouse("mouseReleased", 69, 13.9)
        self.assertEqual(self.notes(), [(69, 8, 6)])
        self.press("erase")
        self.assertEqual(self.notes(), [])
        for expected in ([(69, 8, 6)], [(69, 8, 4)], [(67, 4, 4)], []):
            self.press("undo")
            self.assertEqual(self.notes(), expected)
        page.ask("Emulation.setTouchEmulationEnabled", enabled=True)
        box = page.run("(() => { const at = document.getElementById('roll').getBoundingClientRect(), box = document.getElementById('scroller').getBoundingClientRect(); return [at.left + 44 + 20, box.top + 150]; })()")
        page.ask("Input.dispatchTouchEvent", type="touchStart", touchPoints=[{"x": box[0], "y": box[1]}])
        page.ask("Input.dispatchTouchEvent", type="touchEnd", touchPoints=[])
        page.ask("Emulation.setTouchEmulationEnabled", enabled=False)
        self.assertEqual([note[1:] for note in self.notes()], [(1, 4)])

    def test_by_keyboard_alone(self):
        page = self.opened()
        page.run("document.getElementById('roll').focus(); 0")
        self.key("ArrowRight"), self.key("ArrowUp"), self.key("Enter")
        self.assertEqual(self.notes(), [(68, 1, 4)])
        self.assertIn("G#4, bar 1, beat 1 and 1/4: a note of 4/4 quarters", page.run("document.getElementById('cursor').textContent"))
        self.key("ArrowRight", shift=True), self.key("ArrowDown", alt=True), self.key("ArrowLeft", alt=True)
        self.assertEqual(self.notes(), [(67, 0, 5)])
        self.key("Delete")
        self.assertEqual(self.notes(), [])
        nameless = page.run("""[...document.querySelectorAll("button, input, select, [role=application], [tabindex='0']")].filter(one => !one.closest("[hidden]")
            && !(one.getAttribute("aria-label") || one.textContent.trim() || (one.labels && one.labels.length))).map(one => one.outerHTML)""")
        self.assertEqual(nameless, [])

    def test_narrow_and_in_the_dark(self):
        papers = set()
        for width in (360, 1280):
            for dark in (False, True):
                page = self.opened(width=width, dark=dark)
                self.assertLessEqual(page.run("document.documentElement.scrollWidth"), width)
                papers.add(page.run("getComputedStyle(document.body).backgroundColor"))
        self.assertEqual(len(papers), 2)

    def test_files_and_pieces(self):
        page = self.opened()
        page.run("document.getElementById('piece').value = 'bourgeois_old_hundredth'; document.getElementById('piece').dispatchEvent(new Event('change')); 0")
        self.wait("poph.music.notes.length > 100")
        midi = base64.b64encode((SOURCE / "data/corpus/beethoven_ode_to_joy.mid").read_bytes()).decode()
        drop = """(() => { const files = new DataTransfer(); files.items.add(new File([Uint8Array.from(atob("%s"), c => c.charCodeAt(0))], "%s"));
            document.dispatchEvent(new DragEvent("drop", {dataTransfer: files})); return 0; })()"""
        page.run(drop % (midi, "joy.mid"))
        self.wait("document.getElementById('status').textContent.startsWith('joy.mid is open')")
        page.run(drop % ("bm8gbXVzaWM=", "text.mid"))
        self.wait("!document.getElementById('problem').hidden")
        self.assertRegex(self.problem(), r"\Atext\.mid: ")
        # A piece that a report's link sends.
        page.run("new BroadcastChannel('poph').postMessage({midi: '%s'}); 0" % midi)
        self.wait("!document.getElementById('sent').hidden")
        self.press("sent-open")
        self.wait("document.getElementById('status').textContent.startsWith('The piece of the report is open')")
        page.visit("about:blank")
        page.visit("http://127.0.0.1:%d/open#%s" % (self.port, midi))
        self.wait("document.getElementById('said').textContent.startsWith('No page of poph play is open')")

    def test_failures_are_sentences(self):
        page = self.opened()
        self.press("fill")
        self.assertIn("Mark the bars", self.problem())
        page.run("document.getElementById('settings').scale.value = 'H minor'; 0")
        self.press("harmonise")
        self.wait("!document.getElementById('problem').hidden && !poph.composing()")
        self.assertIn("H minor", self.problem())
        page.run("document.getElementById('settings').scale.value = ''; document.getElementById('settings').temperature.value = ''; 0")
        self.press("harmonise")
        self.assertIn("The temperature", self.problem())
        page.run("document.getElementById('settings').temperature.value = 1; 0")
        page.ask("Network.emulateNetworkConditions", offline=True, latency=0, downloadThroughput=-1, uploadThroughput=-1)
        self.press("harmonise")
        self.wait("document.getElementById('problem').textContent.includes('is poph play still running?')")
        page.ask("Network.emulateNetworkConditions", offline=False, latency=0, downloadThroughput=-1, uploadThroughput=-1)
        self.assertFalse(page.run("poph.composing()"))

    def test_stop_on_the_page_and_a_page_that_goes_away(self):
        page = self.opened()
        page.run("const bars = document.getElementById('settings').bars; bars.value = 256; bars.dispatchEvent(new Event('change')); 0")
        self.press("harmonise")
        self.wait("performance.getEntriesByName('heard').length")
        self.press("stop")
        self.assertTrue(self.composed())
        self.assertIn("stopped", page.run("document.querySelector('.take h3').textContent"))
        self.press("harmonise")
        self.wait("poph.composing() && performance.getEntriesByName('heard').length")
        page.visit("about:blank")
        begun = time.monotonic()
        self.assertIn("done", self.compose(**SMALL))
        self.assertLess(time.monotonic() - begun, 5)
