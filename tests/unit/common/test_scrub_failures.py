"""Failure texts as programs write them, each with a word in it that is a secret, or with none."""

import time

import pytest
from perdure_common.scrub import SECRET, TEXT_MAX, is_secret_key, scrub_json, scrub_text

TOLD: dict[str, str] = {
    # headers
    "a header of its own": "X-Api-Key: {}",
    "a header in a dump": "GET /v1/orders HTTP/1.1\r\nHost: x\r\nx-api-key: {}\r\nAccept: */*",
    "a header of a command": "curl -H 'X-Api-Key: {}' https://api.example/v1 gave 403",
    "a header in double quotes": 'wget --header="PRIVATE-TOKEN: {}" https://git.example/api/v4',
    "a header of functions": "x-functions-key: {}",
    "a header of an application": "DD-APPLICATION-KEY: {}",
    "a header of a vault": "X-Vault-Token: {}\nX-Vault-Namespace: team",
    "a header of Java": "request headers={{X-Api-Key=[{}], Accept=[*/*]}}",
    "a header in a tuple": "headers: [('X-Api-Key', '{}'), ('Accept', '*/*')]",
    "a header in a tuple of bytes": "[(b'x-auth-token', b'{}'), (b'host', b'x')]",
    "a scheme of a service's own": "Authorization: Token {}",
    "another one": "authorization: SSWS {}\r\nhost: x",
    # sentences
    "a sentence": "the password is {}",
    "a sentence that goes on": "the password was {} and is refused now",
    "a sentence with a stop": "Login failed. Your password is {}. Please try again",
    "a sentence with a colon": "Your new password is: {}",
    "a sentence of what happened": "the password was set to {} by the operator",
    "a sentence with quotes": 'cannot connect: password was "{} staple" for user bob',
    "a passcode": "the passcode is {}!",
    "German": "Anmeldung fehlgeschlagen: das Passwort lautet {}",
    "German, with a colon": "Kennwort: {}",
    "French": "le mot de passe est {}",
    "French, with a colon": "mot de passe : {}",
    "Spanish": "error de acceso, contraseña: {}",
    "Spanish, in a sentence": "la contraseña es {}",
    "Portuguese": "a senha é {}",
    "Dutch": "het wachtwoord is {}",
    "Polish": "hasło: {}",
    "Russian": "неверный вход, пароль: {}",
    "Chinese": "登录失败,密码:{}",
    "Japanese": "パスワード={} です",
    "in quotes, with nothing between": "no user with password '{}' was found",
    "a number": "the password is 77{}",
    # keys of all kinds
    "with a blank": "could not log in with user: bob, password: {}",
    "with a blank, and more": "password: {} host: db port: 5432",
    "an ini file": "[client]\nuser = bob\npassword = {}\nhost = db",
    "a line of YAML": "auth:\n  username: bob\n  password: {}\n  realm: x",
    "a name and a value in YAML": "env:\n  - name: DB_PASSWORD\n    value: {}\n  - name: HOST",
    "a name and a value in JSON": '{{"env": [{{"name": "API_TOKEN", "value": "{}"}}]}}',
    "a name and a value in a text": '"{{\\"key\\": \\"DB_PASSWORD\\", \\"value\\": \\"{}\\"}}"',
    "an environment": "export DB_PASS={}; ./run",
    "a property": "spring.datasource.dbPass={}",
    "a query": "GET https://x.example/login?user=bob&pass={}&page=2 was 401",
    "a query with two letters": "POST /auth?login=bob&pw={}",
    "Rust": 'Config {{ user: "bob", password: Some("{}"), port: 5432 }}',
    "pydantic": "Settings(user='bob', api_key=SecretStr('{}'))",
    "PHP": 'array(2) {{ ["password"]=> string(9) "{}" }}',
    "PHP, printed": "Array ( [user] => bob [password] => {} )",
    ".NET": '<add key="StripeApiKey" value="{}" />',
    "Java": '<entry key="mail.password">{}</entry>',
    # commands and statements
    "lftp": "lftp -u bob,{} sftp://files.example: Login failed",
    "lftp, inside": 'lftp -c "open -u bob,{} ftp.example; ls"',
    "etcdctl": "etcdctl --user root:{} get /x",
    "skopeo": "skopeo copy --src-creds bob:{} docker://a docker://b",
    "a passphrase": "gpg --batch --passphrase {} -d x.gpg",
    "a secret key": "s3cmd --access_key=AKIA --secret-key {} ls",
    "mosquitto": "mosquitto_pub -h x -u bob -P {} -t a",
    "sqlcmd": "sqlcmd -S db -U sa -P {} -Q 'select 1'",
    "unzip": "unzip -P {} backup.zip",
    "cqlsh": "cqlsh -u bob -p {} db",
    "htpasswd": "htpasswd -bc /etc/users bob {}",
    "given to a command": "echo {} | docker login -u bob --password-stdin registry.example",
    "given to sudo": "echo '{}' | sudo -S systemctl restart x",
    "given to chpasswd": "echo bob:{} | chpasswd",
    "SQL": "syntax error at: CREATE USER bob IDENTIFIED BY '{}'",
    "SQL of PostgreSQL": "ALTER ROLE bob WITH PASSWORD '{}' LOGIN",
    ".netrc": "machine x.example login bob password {}",
}
"""What a program says, and in `{}` the secret: a word that looks like any other."""

WORDS = ("swordfish", "correcthorsebattery", "Tr0ub4dor&3")

PLAIN = (
    "the password is wrong",
    "your password was changed by an administrator",
    "the password is required for this user",
    "password is too short, it must have 12 characters",
    "The password is incorrect.",
    "das Passwort ist falsch",
    "le mot de passe est incorrect",
    "la contraseña es incorrecta",
    "пароль неверный: попробуйте ещё раз",
    "Access denied for user 'app'@'10.0.0.1' (using password: YES)",
    "token: expired, cookie: missing, password: invalid, api_key: required",
    "password: str, api_key: Optional, secret: none",
    "password: this field is needed",
    "the token is base64 encoded and the secret is sha256-hashed",
    "SyntaxError: Unexpected token: punc",
    "Unexpected token 'export' in JSON at position 7",
    "unexpected token 'abc12', wanted 'end'",
    "the api key is unknown; the secret is out of date",
    "X-Api-Key: missing",
    "x-auth-token: invalid, x-request-id: 7",
    "Authorization: Token expired",
    "12 tests pass, pass=12 fail=0, bypass=yes, first_pass=done",
    "the session token was revoked because the password was reset",
    "('x-api-key', 'authorization'), ('cookie', 'accept')",
    "(loc=('header', 'x-api-key'), 'x-api-key', 'missing')",
    "docker run -u node --name web -p 80:80 image",
    "echo hello | tee file",
    "lftp -u bob sftp://files.example",
    "name: web\nvalue: two\nkind: Service",
    "- name: HOST\n  value: db\n",
    "tab -A x:y and -P 80",
    "the primary key is id, the foreign key was orders_id",
    "passwords are stored nowhere; a token was not given",
    "The secret is Opaque and its key is public",
)
"""What has no secret, though it speaks of some."""


@pytest.mark.parametrize("name", TOLD)
@pytest.mark.parametrize("word", WORDS)
def test_a_secret_leaves_whatever_tells_of_it(name: str, word: str) -> None:
    scrubbed = scrub_text(TOLD[name].format(word))
    assert word not in scrubbed
    assert "staple" not in scrubbed
    assert SECRET in scrubbed
    assert scrub_text(scrubbed) == scrubbed


@pytest.mark.parametrize("text", PLAIN)
def test_what_only_speaks_of_secrets_stays(text: str) -> None:
    assert scrub_text(text) == text


@pytest.mark.parametrize(
    "key",
    [
        "DB_PASS",
        "smtpPass",
        "mail-pass",
        "contraseña",
        "пароль",
        "密码",
        "kennwort",
        "x-functions-key",
    ],
)
def test_more_keys_are_known_as_secret(key: str) -> None:
    assert is_secret_key(key)
    assert scrub_json({key: "word"}) == {key: SECRET}


@pytest.mark.parametrize("key", ["bypass", "compass", "pass", "first_pass", "passed", "monkey"])
def test_keys_that_only_end_like_one_are_not(key: str) -> None:
    assert not is_secret_key(key)


@pytest.mark.parametrize(
    "piece",
    ["the password is ", "password is a", "api key is a1", "token ", "password '", "a token 'b",
     "login a password ", "identified by ", "identified with a by '", "echo a|", "echo a | ",
     "name: a\nvalue: ", "key=\"a\" ", "password: a(", "password=Some(", "x-api-key: [",
     "--creds a:", "creds a.", "lftp -u a,", "htpasswd -b a b ", "(\"x-a\",\"b\"", "пароль: ",
     "pass=", "a_pass=a ", "密码"],
)  # fmt: skip
def test_the_time_for_hostile_repetitions_grows_with_their_length(piece: str) -> None:
    """Four times as much takes about four times as long, and not sixteen."""

    def spent_s(size: int) -> float:
        text = piece * (size // len(piece))
        best = float("inf")
        for _ in range(3):
            began = time.process_time()
            scrub_text(text)
            best = min(best, time.process_time() - began)
        return best

    assert spent_s(TEXT_MAX) < 9 * spent_s(TEXT_MAX // 4) + 0.02
