/** One project per folder of test/: the folder says what a test needs. Sources are ESM; jest runs them as CommonJS through swc. */
const esmOnly = [
  'execa',
  '@sindresorhus/merge-streams',
  'figures',
  'get-stream',
  'human-signals',
  'is-plain-obj',
  'is-stream',
  'is-unicode-supported',
  'npm-run-path',
  'parse-ms',
  'path-key',
  'pretty-ms',
  'strip-final-newline',
  'unicorn-magic',
  'yoctocolors',
  '@sec-ant/readable-stream',
  'zstddec',
];

const base = {
  rootDir: import.meta.dirname ?? process.cwd(),
  testEnvironment: 'node',
  moduleNameMapper: {
    '^(\\.{1,2}/.*)\\.js$': '$1',
    // execa needs it, and it exports itself to `import` only
    '^unicorn-magic$': '<rootDir>/node_modules/unicorn-magic/node.js',
  },
  transform: {
    '^.+\\.(t|m?j)s$': [
      '@swc/jest',
      {
        jsc: { parser: { syntax: 'typescript' }, target: 'es2022' },
        module: { type: 'commonjs' },
        sourceMaps: 'inline',
      },
    ],
  },
  transformIgnorePatterns: [`/node_modules/(?!(${esmOnly.join('|')})/)`, '<rootDir>/dist/'],
};

const project = (name, more = {}) => ({
  ...base,
  displayName: name,
  testMatch: [`<rootDir>/test/${name}/**/*.test.ts`],
  ...more,
});

export default {
  // Real servers on a busy machine: a limit for tests that hang, not a measure of speed.
  testTimeout: 90_000,
  projects: [
    project('unit'),
    project('workflow', { globalSetup: '<rootDir>/test/support/global-setup-workflow.ts' }),
    project('replay', { globalSetup: '<rootDir>/test/support/global-setup-workflow.ts' }),
    project('pg', { globalSetup: '<rootDir>/test/support/global-setup-tools.ts' }),
    project('peers', { globalSetup: '<rootDir>/test/support/global-setup-tools.ts' }),
    project('lab', { globalSetup: '<rootDir>/test/support/global-setup-tools.ts' }),
    project('faults', { globalSetup: '<rootDir>/test/support/global-setup-tools.ts' }),
    project('browser', { globalSetup: '<rootDir>/test/support/global-setup-tools.ts' }),
  ],
};
