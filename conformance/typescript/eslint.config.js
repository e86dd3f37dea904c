import runtime from "../../runtimes/typescript/eslint.config.js";

export default [
  { ignores: ["gen/"] },
  ...runtime,
  {
    languageOptions: {
      parserOptions: {
        projectService: { allowDefaultProject: ["*.js"] },
        tsconfigRootDir: import.meta.dirname,
      },
    },
  },
];
