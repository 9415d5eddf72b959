// The page. Names of assets carry a hash, in letters that the server takes (a-z, 0-9, '.', '-', '_'), so they may be cached for ever.
import tailwindcss from '@tailwindcss/vite'
import { defineConfig } from 'vite'

export default defineConfig({
  plugins: [tailwindcss()],
  esbuild: { jsx: 'automatic', legalComments: 'none' },
  build: {
    target: 'es2021',
    emptyOutDir: true,
    assetsInlineLimit: 0, // no data: URLs, the content security policy stays narrow
    modulePreload: { polyfill: false },
    reportCompressedSize: false,
    rollupOptions: {
      output: {
        hashCharacters: 'base36',
        entryFileNames: 'assets/[name]-[hash].js',
        chunkFileNames: 'assets/[name]-[hash].js',
        assetFileNames: 'assets/[name]-[hash][extname]',
      },
    },
  },
  server: { fs: { allow: ['..'] } },
})
