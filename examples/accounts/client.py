"""A client in plain Python that creates an account, signs its requests and verifies the responses.

Start the service with `make run`, then run: python client.py http://127.0.0.1:8888/service
"""

import base64
import hashlib
import hmac
import json
import sys
import urllib.request
import uuid


class Client:
    """Calls methods and, after a login, signs each call as Toto's clients do."""

    def __init__(self, url):
        self.url = url
        self.user_id = None
        self.session_id = None

    def call(self, method, **parameters):
        """Return the result of a method. Raises RuntimeError for an error, or for a wrong signature."""
        body = json.dumps({"method": method, "parameters": parameters}).encode()
        headers = {"content-type": "application/json"}
        if self.session_id:
            headers["x-toto-session-id"] = self.session_id
            headers["x-toto-hmac"] = self.sign(body)
        with urllib.request.urlopen(urllib.request.Request(self.url, body, headers)) as response:
            raw = response.read()
            signature = response.headers["x-toto-hmac"]
        content = json.loads(raw)
        if "error" in content:
            raise RuntimeError(f"{method}: {content['error']}")
        if method in ("account.create", "account.login"):
            self.user_id = content["result"]["user_id"]
            self.session_id = content["result"]["session_id"]
        if signature is not None and not hmac.compare_digest(signature, self.sign(raw)):
            raise RuntimeError(f"{method}: the signature of the response is wrong")
        return content["result"]

    def sign(self, body):
        """Return the base64 of an HMAC-SHA1 over the body, with the user id as the key."""
        return base64.b64encode(hmac.new(self.user_id.encode(), body, hashlib.sha1).digest()).decode()


def main(url):
    """Create an account, log in to it, count, log out."""
    client = Client(url)
    user_id, password = f"ada-{uuid.uuid4().hex[:8]}", "correct horse battery"
    client.call("account.create", user_id=user_id, password=password)
    print("created", client.user_id)
    client.call("account.login", user_id=user_id, password=password)
    print("counted", [client.call("count") for _ in range(3)])
    print("logged out", client.call("account.logout"))
    try:
        client.call("count")
    except RuntimeError as error:
        print("refused", error)


if __name__ == "__main__":
    main(sys.argv[1] if sys.argv[1:] else "http://127.0.0.1:8888/service")
