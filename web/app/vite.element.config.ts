// <mien-verify> as one file that another site can load as a module: mien-verify.js, from web/verify/src/element.ts.
import { fileURLToPath } from 'node:url'
import { defineConfig } from 'vite'

export default defineConfig({
  publicDir: false,
  esbuild: { legalComments: 'none' },
  build: {
    target: 'es2021',
    emptyOutDir: true,
    reportCompressedSize: false,
    minify: 'esbuild',
    lib: {
      entry: fileURLToPath(new URL('../verify/src/element.ts', import.meta.url)),
      formats: ['es'],
      fileName: () => 'mien-verify.js',
    },
  },
})
