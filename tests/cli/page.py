"""The page of `poph play` in headless Chromium."""
import base64
import shlex
import time
import unittest

import browser
from served import SMALL, Served
from support import SOURCE


@unittest.skipUnless(browser.PROGRAM, "no chromium here (Debian: apt-get install chromium)")
class Page(Served):
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
