"""Scripts parse: Python by its own compiler, shell by bash -n."""
import ast
import os
import subprocess

from tree import ROOT, data, files, is_text


def check():
    bad = []
    for path in files():
        if path.startswith('fuzz/corpus/') or not is_text(path):
            continue
        first = data(path).split(b'\n', 1)[0]
        script = first.startswith(b'#!')
        if path.endswith('.py') or script and b'python' in first:
            try:
                ast.parse(data(path), path)
            except SyntaxError as e:
                bad.append(f'{path}:{e.lineno}: {e.msg}')
        elif script and first.endswith(b'sh'):
            done = subprocess.run(['bash', '-n', path], cwd=ROOT, stdout=subprocess.PIPE, stderr=subprocess.STDOUT)
            if done.returncode:
                bad.append(done.stdout.decode().strip())
        if script and not os.access(os.path.join(ROOT, path), os.X_OK):
            bad.append(f'{path}: begins with #! but is not executable')
    return bad
