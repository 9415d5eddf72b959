#!/usr/bin/env python3
"""Makes the seed inputs of fuzz_image, fuzz_exif, fuzz_json, fuzz_base64, fuzz_multipart, fuzz_facebank, fuzz_csv, fuzz_websocket and fuzz_jwt in fuzz/corpus/. Run
once and committed; needs python3-opencv and numpy.

Tiny pictures of every format and of the features that have code of their own; no photograph is among them."""
import base64
import os
import struct
import zlib

import cv2
import numpy as np

HERE = os.path.join(os.path.dirname(os.path.abspath(__file__)), 'corpus')


def save(target, name, data):
    folder = os.path.join(HERE, target)
    os.makedirs(folder, exist_ok=True)
    with open(os.path.join(folder, name), 'wb') as f:
        f.write(bytes(data))


def drawing(w, h):
    y, x = np.mgrid[0:h, 0:w]
    return np.stack([x * 255 // w, y * 255 // h, (x * 7 + y * 5) % 256], axis=2).astype(np.uint8)


def exif(orientation, order='<', prefix=b'Exif\0\0'):
    head = b'II*\0' if order == '<' else b'MM\0*'
    return prefix + head + struct.pack(order + 'IHHHIHHI', 8, 1, 0x112, 3, 1, orientation, 0, 0)


def encoded(ext, image, *options):
    return cv2.imencode(ext, image, list(options))[1].tobytes()


def jpeg_with_exif(jpeg, block):
    return jpeg[:2] + b'\xff\xe1' + struct.pack('>H', len(block) + 2) + block + jpeg[2:]


def png(w, h, bits, colour, rows, chunks=(), interlace=0):
    def chunk(kind, body):
        return struct.pack('>I', len(body)) + kind + body + struct.pack('>I', zlib.crc32(kind + body))
    head = struct.pack('>IIBBBBB', w, h, bits, colour, 0, 0, interlace)
    body = b''.join(chunk(k, b) for k, b in chunks)
    return b'\x89PNG\r\n\x1a\n' + chunk(b'IHDR', head) + body + chunk(b'IDAT', zlib.compress(rows, 9)) + chunk(b'IEND', b'')


def bmp(w, h, bits, rows, compression=0, extra=b'', colours=0):
    start = 54 + len(extra)
    info = struct.pack('<IiiHHIIiiII', 40, w, h, 1, bits, compression, len(rows), 0, 0, colours, 0)
    return b'BM' + struct.pack('<IHHI', start + len(rows), 0, 0, start) + info + extra + rows


def gif(w, h, flags=0, control=b''):
    """One frame; a clear code before every pixel pair keeps the codes at three bits."""
    codes = []
    for i in range(0, w * h, 2):
        codes += [4, i // 2 % 4, (i // 2 + 1) % 4]
    codes = codes[:len(codes) - (w * h) % 2] + [5]
    value = sum(c << 3 * i for i, c in enumerate(codes))
    data = value.to_bytes((3 * len(codes) + 7) // 8, 'little')
    blocks = b''.join(bytes([len(data[i:i + 255])]) + data[i:i + 255] for i in range(0, len(data), 255))
    palette = bytes([0, 0, 0, 255, 0, 0, 0, 255, 0, 0, 0, 255])
    return (b'GIF89a' + struct.pack('<HHBBB', w, h, 0x81, 0, 0) + palette + control + b'\x2c' + struct.pack('<HHHHB', 0, 0, w, h, flags)
            + b'\x02' + blocks + b'\0\x3b')


def webp_extended(simple, w, h, block):
    body = b'VP8X' + struct.pack('<II', 10, 8) + struct.pack('<I', w - 1)[:3] + struct.pack('<I', h - 1)[:3] + simple[12:]
    body += b'EXIF' + struct.pack('<I', len(block)) + block
    return b'RIFF' + struct.pack('<I', len(body) + 4) + b'WEBP' + body


def jpegs():
    im = drawing(24, 18)
    plain = encoded('.jpg', im, cv2.IMWRITE_JPEG_QUALITY, 60, cv2.IMWRITE_JPEG_OPTIMIZE, 1)
    save('image', 'plain.jpg', plain)
    save('image', 'turned.jpg', jpeg_with_exif(plain, exif(6)))
    save('image', 'mirrored.jpg', jpeg_with_exif(plain, exif(7, '>')))
    save('image', 'progressive.jpg', encoded('.jpg', im, cv2.IMWRITE_JPEG_QUALITY, 60, cv2.IMWRITE_JPEG_PROGRESSIVE, 1))
    save('image', 'restarts.jpg', encoded('.jpg', im, cv2.IMWRITE_JPEG_QUALITY, 40, cv2.IMWRITE_JPEG_RST_INTERVAL, 1))
    save('image', 'gray.jpg', encoded('.jpg', im[:, :, 0], cv2.IMWRITE_JPEG_QUALITY, 50))


def pngs():
    row = bytes(range(8))
    save('image', 'rgb.png', encoded('.png', drawing(9, 7)))
    save('image', 'alpha.png', encoded('.png', np.dstack([drawing(5, 4), drawing(5, 4)[:, :, 2]])))
    save('image', 'deep.png', png(2, 2, 16, 2, (b'\0' + bytes(range(12))) * 2))
    save('image', 'palette.png', png(8, 2, 8, 3, (b'\0' + row) * 2, [(b'PLTE', bytes(range(24))), (b'tRNS', bytes([0, 128, 255]))]))
    save('image', 'one_bit.png', png(10, 2, 1, 0, b'\0\xaa\x80' * 2))
    save('image', 'gray_alpha.png', png(4, 2, 8, 4, (b'\0' + row) * 2, [(b'eXIf', exif(5, '>', b''))]))
    save('image', 'interlaced.png', png(1, 1, 8, 6, b'\0\1\2\3\x80', interlace=1))
    save('image', 'text.png', png(1, 1, 8, 0, b'\0\1', [(b'zTXt', b'key\0\0' + zlib.compress(b'text' * 9))]))


def others():
    im = drawing(12, 10)
    lossy = encoded('.webp', im, cv2.IMWRITE_WEBP_QUALITY, 40)
    save('image', 'lossy.webp', lossy)
    save('image', 'turned.webp', webp_extended(lossy, 12, 10, exif(8)))
    save('image', 'lossless.webp', encoded('.webp', im, cv2.IMWRITE_WEBP_QUALITY, 101))
    save('image', 'bits24.bmp', bmp(3, 2, 24, bytes(range(24))))
    save('image', 'top_down32.bmp', bmp(2, -2, 32, bytes(range(16))))
    save('image', 'palette8.bmp', bmp(3, 2, 8, bytes([0, 1, 2, 0, 2, 1, 0, 0]), extra=bytes(range(12)), colours=3))
    save('image', 'fields16.bmp', bmp(2, 1, 16, b'\x12\x34\x56\x78', 3, struct.pack('<III', 0xf800, 0x7e0, 0x1f)))
    save('image', 'plain.gif', gif(6, 5))
    save('image', 'interlaced.gif', gif(5, 9, 0x40, b'\x21\xf9\x04\x01\0\0\x02\0'))


def exifs():
    save('exif', 'little_6', exif(6))
    save('exif', 'big_3', exif(3, '>'))
    save('exif', 'bare_8', exif(8, '<', b''))
    save('exif', 'invalid_9', exif(9))
    save('exif', 'far_directory', b'II*\0' + struct.pack('<I', 0xfffffff0) + bytes(20))


def bodies():
    long = b'QUJD' * 260
    save('json', 'image', b'{"image":"' + long + b'","threshold":0.3}')
    save('json', 'escaped', b'["' + long + b'\\/\\u002B\\n", {"a":"' + long + b'"}, -1.5e3, true, null]')
    save('json', 'long_name', b'{"' + long + b'" : "' + long + b'"}')
    save('json', 'looks_lifted', b'["' + long + b'","\\u00010"]')
    save('json', 'foreign', b'["' + long + b'\xc3\xa9' + b'\\ud83d\\ude00"]')
    save('json', 'twice', b'{"a":"' + long + b'","a":1}')
    save('json', 'unfinished', b'["' + long)
    save('json', 'small', b'{"a":[1,{"b":""}],"c":"\\u0001"}')
    every = bytes(range(256))
    save('base64', 'standard', base64.b64encode(every))
    save('base64', 'url', base64.urlsafe_b64encode(every).rstrip(b'='))
    save('base64', 'mixed', base64.b64encode(every[:250]) + b'-_')
    save('base64', 'tail_bits', b'AAAB' * 20 + b'AB==')
    save('base64', 'data_url', b'data:image/png;base64,' + base64.b64encode(every[::-1]))
    form = b'multipart/form-data; boundary=%s\n'
    part = b'--b\r\nContent-Disposition: form-data; name="%s"%s\r\n\r\n%s\r\n'
    file = part % (b'image', b'; filename="a.jpg"\r\nContent-Type: image/jpeg', every)
    save('multipart', 'file_and_field', form % b'b' + file + part % (b'x', b'', b'1') + b'--b--\r\n')
    save('multipart', 'quoted', form % b'"b"' + b'preamble\r\n' + part % (b'a\\"\\\\', b";filename*=utf-8''x", b'') + b'--b-- \r\nepilogue')
    save('multipart', 'no_content', form % b'b' + b'--b \r\ncontent-disposition:form-data;name=a\r\n\r\n--b--')
    save('multipart', 'encoded', form % b'b' + part % (b'a', b'\r\nContent-Transfer-Encoding: base64', b'QUJD') + b'--b--')
    save('multipart', 'empty', form % b'b' + b'--b--')


def headers():
    save('guard', 'length', b'0Host: localhost\nContent-Length: 5')
    save('guard', 'both', b'0Host: a\nTransfer-Encoding: chunked\nContent-Length: 5')
    save('guard', 'twice', b'1X-Request-Id: abc\nContent-Length: 5\nContent-Length: 6')
    save('guard', 'odd', b'0Host: a\nHost: b\nTransfer-Encoding: gzip, chunked\n\n:\nX\1: y')


def templates():
    save('template', 'one', b'MT\x01\x00\x01\x00\x00\x00\x00\x3c')
    save('template', 'depth', b'MT\x01\x01\x02\x00\x01\x00\x00\x3c\x00\x00\x00\xbc')
    save('template', 'long', b'MT\x01\x00\xff\xff\x00\x00\x00\x3c')
    save('template', 'version', b'MT\x02\x00\x01\x00\x00\x00\x00\x3c')


def facebanks():
    save('facebank', 'plain', b'\x013,4\n-0.6,.8e0\n')
    save('facebank', 'spread', b'\x02\xef\xbb\xbf\r\n 1 ,\t2, 3\r\n\n+1e-3,-2E+2,0')
    save('facebank', 'names', b'\x01nan,inf\n')
    save('facebank', 'short', b'\x021,2\n')
    save('facebank', 'tiny', b'\x001e-45\n1e-50\n')


def tables():
    save('csv', 'plain', b'file,age\na.jpg,20\nb.jpg,\n')
    save('csv', 'quotes', b'\xef\xbb\xbf"file","a ""note"""\r\n"1,\r\n2",x\r\n\r\n,""')
    save('csv', 'open', b'file\n"a')
    save('csv', 'short', b'file,age\na.jpg\n')


def frame(first, payload=b'', mask=b'\x37\xfa\x21\x3d', length=None):
    n = len(payload) if length is None else length
    size = bytes([0x80 | n]) if n < 126 else b'\xfe' + struct.pack('>H', n) if n < 65536 else b'\xff' + struct.pack('>Q', n)
    return bytes([first]) + size + mask + bytes(b ^ mask[i % 4] for i, b in enumerate(payload))


def websockets():
    """The first byte is the size of the pieces."""
    text, euro = 'Gr\u00fc\u00dfe, \u4e16\u754c \U0001f642'.encode(), '\u20ac'.encode()
    save('websocket', 'messages', b'\4' + frame(0x81, text) + frame(0x82, bytes(range(200))) + frame(0x81))
    save('websocket', 'fragments', b'\1' + frame(1, b'a' + euro[:1]) + frame(0x89, b'ping') + frame(0, euro[1:2]) + frame(0x80, euro[2:]) + frame(0x88))
    save('websocket', 'controls', b'\2' + frame(0x89) + frame(0x8a, b'x' * 125) + frame(0x88, b'\x03\xe8' + text))
    save('websocket', 'close_codes', b'\3' + frame(0x88, b'\x03\xec'))
    save('websocket', 'not_utf8', b'\3' + frame(0x81, b'\xed\xa0\x80'))
    save('websocket', 'unmasked', b'\3\x81\5Hello')
    save('websocket', 'reserved', b'\3' + frame(0xc1, b'x') + frame(0x83))
    save('websocket', 'too_long', b'\5' + frame(0x82, b'x', length=1 << 40))
    save('websocket', 'too_much_memory', b'\7' + frame(0x02, b'x' * 2000) + frame(0x80, b'y' * 100))
    save('websocket', 'out_of_order', b'\6' + frame(1, b'a') + frame(0x81, b'b'))


def tokens():
    """r: a token as it is; s: a header, in which @ stands for the key id, and claims, to be signed."""
    header, claims = b's{"alg":"RS256","typ":"JWT","kid":"@"}\0', b'{"iss":"us","exp":2000000900,"iat":2000000000,"aud":["shop","bank"]}'
    save('jwt', 'good', header + claims)
    save('jwt', 'one_audience', header + b'{"iss":"us","exp":2000000900.5,"nbf":-1e3,"aud":"bank"}')
    save('jwt', 'twice', header + b'{"iss":"us","iss":"us","exp":2000000900}')
    save('jwt', 'no_object', header + b'[1]')
    save('jwt', 'crit', b's{"alg":"RS256","kid":"@","crit":["exp"]}\0' + claims)
    save('jwt', 'confused', b's{"alg":"HS256","kid":"@"}\0' + claims)
    save('jwt', 'none', b'reyJhbGciOiJub25lIn0.e30.')
    save('jwt', 'unknown_key', b'reyJhbGciOiJSUzI1NiIsImtpZCI6IkEifQ.e30.AAAA')
    save('jwt', 'four_parts', b're30.e30.AA.AA')
    save('jwt', 'bits_left', b're31.e30.AA')


if __name__ == '__main__':
    jpegs()
    pngs()
    others()
    exifs()
    bodies()
    headers()
    facebanks()
    tables()
    templates()
    websockets()
    tokens()
