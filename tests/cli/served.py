"""A running `poph play`, and what a page asks of it."""
import base64
import http.client
import json
import re
import shlex
import signal

from support import POPH, WITH_SOUND, Case

SMALL = {"bars": 2, "particles": 4, "most_notes": 4, "seed": 5}
NO_DESKTOP = {"DISPLAY": "", "WAYLAND_DISPLAY": ""}


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
